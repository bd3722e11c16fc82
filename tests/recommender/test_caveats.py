"""What stands beside the ranking."""

from __future__ import annotations

from modeldyno.recommender.rank.reader_notes import caveats
from tests.recommender.measured import instance, point, trial


def test_each_note_is_told_once_with_its_types_and_each_price_with_its_date() -> None:
    trials = [
        trial(point(), on=instance(name)).model_copy(update={"notes": ("another clock",)})
        for name in ("a.one", "b.two", "a.one")
    ]
    told = caveats(trials)
    assert told[0] == "another clock (a.one, b.two)"
    assert trials[0].instance.price_date in told[1]
    assert trials[0].instance.price_source in told[1]
    assert len(told) == 2


def test_a_trial_without_numbers_has_no_caveats() -> None:
    assert caveats([trial(on=instance())]) == ()
