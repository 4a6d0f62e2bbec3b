"""The versions of installed packages that decide a result."""

from __future__ import annotations


def versions() -> dict[str, str]:
    """The installed versions that decide a result."""
    from importlib.metadata import version

    from rftkit import __version__

    names = ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate")
    return {"rftkit": __version__, **{name: version(name) for name in names}}
