"""Who hears of a compile while it goes on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

Say = Callable[[str], None]


def silent(_text: str) -> None:
    """Take progress that nobody asked for."""


def warned(text: str) -> None:
    """Make a UserWarning of a text."""
    warnings.warn(text, UserWarning, stacklevel=3)


@dataclass(frozen=True)
class Watch:
    """Who is told what, each a line of text.

    stage: the name of each stage as it begins. tuning: each kernel that was measured, and each import path
    that was left. warn: what went wrong and did not end the compile.
    """

    stage: Say = silent
    tuning: Say = silent
    warn: Say = warned

    def without_stages(self) -> Watch:
        """Give one for a part of the work, whose stages are not told."""
        return replace(self, stage=silent)

    def titled(self, title: str) -> Watch:
        """Give one for a part of the work: its stages are not told, its other lines begin with `title`."""

        def told(say: Say) -> Say:
            return say if say in (silent, warned) else lambda text: say(f"{title}: {text}")

        return Watch(silent, told(self.tuning), told(self.warn))


UNWATCHED = Watch()  # nobody is told of anything but warnings


def watch_of(on_stage: Say | None, on_tuning: Say | None) -> Watch:
    """Give the watch of a caller who hears of stages, of tuning with all warnings, or of neither."""
    return Watch(on_stage or silent, on_tuning or silent, on_tuning or warned)
