from __future__ import annotations

from dataclasses import dataclass, field

from modeldyno.loadgen.generator.progress import LoadProgress
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.show.events import RunPlanned, TrialEnded, TrialLoaded, TrialStarted
from modeldyno.recommender.show.screen import Display
from modeldyno.trials.measure.trial import failed_trial
from tests.recommender.tiny import instance, planned

ONE, TWO = planned(instance("test.one")), planned(instance("test.two"))
LOAD = Job().load


@dataclass
class Recorded:
    """A screen that remembers."""

    lines: list[str] = field(default_factory=list)
    shown: list[tuple[str, float, float]] = field(default_factory=list)

    def line(self, text: str) -> None:
        self.lines.append(text)

    def update(self, text: str, completed_s: float, total_s: float) -> None:
        self.shown.append((text, completed_s, total_s))


def test_the_bar_counts_ended_trials_in_full_and_the_running_one_by_the_clock() -> None:
    screen, now = Recorded(), [100.0]
    display = Display(screen, clock=lambda: now[0])
    spec = LOAD.specs("http://127.0.0.1:1", seed=0)[1]
    progress = LoadProgress(3.0, 12.0, False, 30, 2, 10.0, 5.0, None)
    display.show(RunPlanned((), (), (ONE, TWO), LOAD, 80.0, ()))
    display.show(TrialStarted(ONE))
    now[0] = 130.0
    display.show(TrialLoaded(ONE, spec, progress))
    now[0] = 200.0  # slower than estimated: it does not eat the other trial's share
    display.show(TrialLoaded(ONE, spec, progress))
    display.show(TrialEnded(failed_trial(ONE, "emulated", "a reason")))
    display.show(TrialStarted(TWO))
    assert screen.shown == [
        ("[1/2] test.one onnxruntime 1x1: starting its server", 0.0, 80.0),
        ("[1/2] test.one onnxruntime 1x1: 2 users, 10 requests/s, 2 errors", 30.0, 80.0),
        ("[1/2] test.one onnxruntime 1x1: 2 users, 10 requests/s, 2 errors", 40.0, 80.0),
        ("[2/2] test.two onnxruntime 1x1: starting its server", 40.0, 80.0),
    ]
    assert screen.lines[-1] == "[1/2] test.one onnxruntime 1x1: failed: a reason"


def test_the_plan_says_what_is_measured_kept_and_refused() -> None:
    screen = Recorded()
    kept = failed_trial(ONE, "emulated", "a reason")
    Display(screen).show(
        RunPlanned((kept,), ((ONE, "no such cores"),), (TWO,), LOAD, 65.0, ("A note.",), 300.0)
    )
    assert screen.lines == [
        "to measure: 1 (threads x workers): test.two onnxruntime 1x1",
        "load: 1, 2, 4 users (closed loop), each 2 s warm-up + 10 s, up to 60 s for 368 samples",
        "kept from before: 1, of them 1 failed (--retry-failed tries those again)",
        "cannot run here: test.one onnxruntime 1x1: no such cores",
        "A note.",
        "this takes about 1m05s, at most 5m00s, compilation not counted",
    ]


def test_a_refused_trial_has_no_number() -> None:
    screen = Recorded()
    Display(screen).show(TrialEnded(failed_trial(ONE, "emulated", "no such cores")))
    assert screen.lines == ["test.one onnxruntime 1x1: failed: no such cores"]


def test_each_trial_that_ends_says_how_long_the_others_take_by_those_that_ended() -> None:
    screen = Recorded()
    display = Display(screen)
    display.show(RunPlanned((), (), (ONE, TWO), LOAD, 80.0, (), 300.0))
    for planned_trial, seconds in ((ONE, 90.0), (TWO, 30.0)):
        display.show(TrialStarted(planned_trial))
        ended = failed_trial(planned_trial, "emulated", "a reason").model_copy(update={"seconds": seconds})
        display.show(TrialEnded(ended))
    assert screen.lines[-2:] == [
        "[1/2] test.one onnxruntime 1x1: failed: a reason; about 1m30s left",
        "[2/2] test.two onnxruntime 1x1: failed: a reason",
    ]
