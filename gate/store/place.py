"""Where baselines lie unless told otherwise; commands import it, so nothing else is imported here."""

from __future__ import annotations

from pathlib import Path

DEFAULT_STORE = Path(".dyno/baselines")
