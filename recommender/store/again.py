"""What of an earlier run in the same folder is measured again."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from modeldyno.base.records.run import Trial

FAILED, VOID, TAINTED = "failed", "void", "tainted"


@dataclass(frozen=True)
class Again:
    """Which trials, by what became of them or by name; nothing: all are kept."""

    failed: bool = False
    void: bool = False
    tainted: bool = False
    names: tuple[str, ...] = ()
    """Patterns of trial keys, e.g. `c7a.*_compiled_*`."""

    def wants(self, trial: Trial) -> bool:
        """Whether a kept trial is measured again."""
        return (
            (self.failed and trial.failure is not None)
            or (self.void and any(not point.valid for point in trial.points))
            or (self.tainted and any(map(disturbed, trial.points)))
            or self.names_it(trial.candidate.key)
        )

    def names_it(self, key: str) -> bool:
        """Whether a trial of this key is meant by its name."""
        return any(fnmatchcase(key, name) for name in self.names)


NOTHING = Again()


def disturbed(point: object) -> bool:
    """Whether a load test says that the machine did something else meanwhile."""
    warnings: tuple[str, ...] = getattr(point, "warnings", ())
    return any("did other work" in text or "busy with other work" in text for text in warnings)


def parse_again(texts: tuple[str, ...], *, retry_failed: bool) -> Again:
    """Read what `--remeasure` was given, several times perhaps; `--retry-failed` is short for one of them.

    >>> parse_again(("void", "c7a.*"), retry_failed=False)
    Again(failed=False, void=True, tainted=False, names=('c7a.*',))
    """
    names = tuple(text for text in texts if text not in (FAILED, VOID, TAINTED))
    return Again(retry_failed or FAILED in texts, VOID in texts, TAINTED in texts, names)
