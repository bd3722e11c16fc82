from __future__ import annotations

from modeldyno.recommender.store.again import Again, parse_again
from modeldyno.trials.measure.trial import failed_trial
from tests.recommender.tiny import instance, planned


def test_words_and_names_are_told_apart() -> None:
    assert parse_again(("failed", "tainted"), retry_failed=False) == Again(failed=True, tainted=True)
    assert parse_again((), retry_failed=True) == Again(failed=True)
    assert parse_again(("c7a.*",), retry_failed=False).names == ("c7a.*",)


def test_a_failed_trial_is_wanted_when_failures_are_or_by_its_name() -> None:
    trial = failed_trial(planned(instance("c7a.x")), "emulated", "it died")
    assert Again(failed=True).wants(trial)
    assert Again(names=("c7a.*_onnxruntime_*",)).wants(trial)
    assert not Again(void=True, tainted=True, names=("c7i.*",)).wants(trial)
