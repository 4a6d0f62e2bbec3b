"""Which Host headers, and which sites' pages, reach a server that is bound to this machine."""

from __future__ import annotations

import pytest

from rftkit.web.hosts import other_site, wrong_host

EVIL = "http://evil.example"


def site(method: str, origin: str = "", **fetch: str) -> str:
    """What is said to a request with this Origin, and with these headers of Fetch Metadata."""
    named = [(b"sec-fetch-" + name.encode(), value.encode()) for name, value in fetch.items()]
    given = [(b"origin", origin.encode())] if origin else []
    return other_site(method, [(b"referer", EVIL.encode()), *given, *named])


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:7860", "[::1]", "[::1]:80"]
)
def test_this_machine_s_own_names_are_answered(host: str) -> None:
    assert wrong_host([(b"accept", b"evil.example"), (b"host", host.encode())]) == ""


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "testserver", "::1",
     "127.0.0.1:80:80", "127.0.0.1:", "localhost:1@evil.example", "127.0.0.1\n", "0.0.0.0", ""],
)  # fmt: skip
def test_any_other_name_is_refused(host: str) -> None:
    line = wrong_host([(b"host", host.encode())])
    assert "answers localhost, 127.0.0.1 and [::1] only" in line
    assert line.isprintable()


def test_every_host_header_counts_and_one_is_needed() -> None:
    assert wrong_host([]).startswith("Host none: ")
    both = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert wrong_host(both).startswith("Host evil.example: ")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("origin", "named"),
    [
        ("", ""),  # a program
        ("http://127.0.0.1:7860", ""),  # a browser that does not name the site
        ("https://LOCALHOST", ""),
        ("http://[::1]:8000", "same-origin"),
        ("http://localhost:3000", "same-site"),  # another server of this machine
        ("", "none"),  # typed into the address bar
        ("https://pets.example", "same-origin"),  # its own page, behind a proxy with HTTPS
    ],
)
def test_programs_and_pages_of_this_machine_are_answered(
    method: str, origin: str, named: str
) -> None:
    assert site(method, origin, **({"site": named} if named else {})) == ""


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    ("origin", "named"),
    [
        (EVIL, "cross-site"), (EVIL, ""), ("null", ""), ("null", "cross-site"), ("", "cross-site"),
        ("", "unheard-of"), ("http://127.0.0.1.evil.example", ""), ("file://localhost", ""),
        ("http://localhost:1@evil.example", ""), ("http://evil.example/http://localhost", ""),
        ("http://localhost:3000", "cross-site"), ("http://127.0.0.1\x1b[2J", ""),
    ],
)  # fmt: skip
def test_a_page_of_another_site_is_refused(method: str, origin: str, named: str) -> None:
    line = site(method, origin, **({"site": named} if named else {}))
    assert "pages of other sites are not answered" in line
    assert line.isprintable()


def test_the_line_names_what_the_browser_said() -> None:
    assert site("POST", EVIL, site="cross-site").startswith("Origin http://evil.example: ")
    assert site("GET", site="cross-site").startswith("Sec-Fetch-Site cross-site: ")
    assert len(site("POST", "http://" + "a" * 9000)) < 250


def test_a_link_from_another_site_may_be_followed_but_no_form_sent() -> None:
    assert site("GET", site="cross-site", mode="navigate") == ""
    assert site("POST", EVIL, site="cross-site", mode="navigate") != ""
    assert site("GET", site="cross-site", mode="no-cors") != ""


def test_each_of_several_headers_counts() -> None:
    local, evil = (b"origin", b"http://localhost"), (b"origin", EVIL.encode())
    assert other_site("POST", [local, local]) == ""
    assert other_site("POST", [local, evil]) != ""
    own, other = (b"sec-fetch-site", b"same-origin"), (b"sec-fetch-site", b"cross-site")
    assert other_site("POST", [own, other]) != ""
