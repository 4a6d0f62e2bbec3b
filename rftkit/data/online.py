"""Whether the hub can be reached, in two seconds rather than half a minute of retries."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

PATIENCE_SECONDS = 2.0
PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


@contextmanager
def offline_if_unreachable() -> Iterator[None]:
    """Within it `datasets` reads its cache only, if the hub does not answer."""
    import datasets
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or not reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def reachable(url: str, seconds: float = PATIENCE_SECONDS) -> bool:
    """Whether the host of `url`, or the proxy on the way to it, takes a connection."""
    hop = first_hop(url)
    answered = Event()

    def knock() -> None:
        try:
            address = (hop.hostname or "", hop.port or PORTS.get(hop.scheme, 443))
            socket.create_connection(address, seconds).close()
        except (OSError, ValueError):  # ValueError: a port that is no number
            return
        answered.set()

    thread = Thread(target=knock, daemon=True)  # looking up a name knows no time limit
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def first_hop(url: str) -> SplitResult:
    """What a request to `url` connects to: its host, or the proxy that the environment names."""
    target, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(target.hostname or ""):
        return target
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")
