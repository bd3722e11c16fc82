"""What a reader of the ranking must know: the limits of emulation, and where the prices are from."""

from __future__ import annotations

from collections.abc import Iterable

from modeldyno.base.records.run import Trial

PRICE_TERMS = "on-demand, Linux, the catalogue's in us-east-1"


def caveats(trials: Iterable[Trial]) -> tuple[str, ...]:
    """Each note of the measured trials once, with the instance types that it is about; then the prices."""
    measured = [trial for trial in trials if trial.points]
    about: dict[str, list[str]] = {}
    for trial in measured:
        name = trial.instance.instance_type
        for note in trial.notes:
            _add(about, note, name)
        _add(about, f"price: {PRICE_TERMS}; {trial.instance.price_source}, {trial.instance.price_date}", name)
    return tuple(f"{text} ({', '.join(names)})" for text, names in about.items())


def _add(about: dict[str, list[str]], text: str, name: str) -> None:
    names = about.setdefault(text, [])
    if name not in names:
        names.append(name)
