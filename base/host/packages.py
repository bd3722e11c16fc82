"""Which version of a package is installed."""

from __future__ import annotations


def installed(package: str) -> str | None:
    """Version of an installed package; None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # with it comes the package `email`

    try:
        return version(package)
    except PackageNotFoundError:
        return None
