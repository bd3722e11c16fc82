"""Where modeldyno keeps what it made for the user, outside of any project."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Give `modeldyno` in the user's cache folder, which need not exist yet."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "modeldyno"
