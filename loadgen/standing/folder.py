"""The folder in which the standing generator and whoever started it meet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER_VARIABLE = "DYNO_LOAD_FOLDER"
"""Names it to the child."""


@dataclass(frozen=True)
class Folder:
    """Where things lie in it."""

    path: Path

    @property
    def bodies(self) -> Path:
        """The request bodies, one behind another."""
        return self.path / "payload.bin"

    @property
    def index(self) -> Path:
        """Where in that file each body is."""
        return self.path / "payload.json"

    @property
    def log(self) -> Path:
        """What Locust says."""
        return self.path / "locust.log"
