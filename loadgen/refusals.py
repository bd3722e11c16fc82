"""Options of `dyno load` that do not go together, told in the words of its flags."""

from __future__ import annotations

import click
from click.core import ParameterSource

from modeldyno.loadgen.spec.options import LoadOptions


def check_options(options: LoadOptions) -> None:
    """Refuse what goes against each other, or would have no effect.

    Raises:
        click.UsageError: with the reason.
    """
    searching = options.find_rate
    closed = len(staged(options)) + (options.users is not None)
    opened = options.rate_rps is not None or options.trace is not None
    _check_one_loop(closed, opened=opened, bounded=options.max_in_flight is not None and not searching)
    if (options.phases or options.stairs) and (options.min_samples or given("duration_s")):
        raise click.UsageError("Phases and stairs say how long they last: no --duration, no --min-samples.")
    if options.min_samples and options.max_duration_s < options.duration_s:
        raise click.UsageError("--max-duration is shorter than --duration.")
    _check_limits(options)
    if searching and (closed or options.trace is not None or options.samples is not None):
        raise click.UsageError("--find-rate searches an open loop's rate: no --users, --trace or --samples.")
    _refuse_no_effect(options, opened=opened or searching or options.scenario == "Server")
    _check_workers(options)


def check_payload(options: LoadOptions) -> None:
    """Refuse options of what is not sent.

    Raises:
        click.UsageError: with the reason.
    """
    if (options.content_type is not None or options.rows) and options.payload is None:
        raise click.UsageError("--content-type and --rows need --payload.")
    if options.shapes and options.payload is not None:
        raise click.UsageError("--shape is for random input; what --payload names has a shape of its own.")


def staged(options: LoadOptions) -> list[str]:
    """Give the closed loops in stages that are asked for; one at most goes."""
    return [text for text in (options.phases, options.stairs, options.load_shape) if text is not None]


def given(name: str) -> bool:
    """Whether the running command was given this option."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not ParameterSource.DEFAULT


def judged(options: LoadOptions) -> bool:
    """Whether this one load test is held against the limits."""
    return bool(options.limits) and not options.find_rate and options.scenario is None


def _check_limits(options: LoadOptions) -> None:
    searching = options.find_rate or options.scenario == "Server"
    if searching and not options.limits:
        raise click.UsageError("--find-rate and --scenario Server need --limit, e.g. --limit p99_ms=50.")
    if options.limits and options.scenario not in (None, "Server"):
        raise click.UsageError(
            f"--scenario {options.scenario} has a metric of its own and no limit: no --limit."
        )
    if options.limits and staged(options):
        raise click.UsageError(
            "--limit judges one load, and --phases, --stairs and --load-shape have several: give --users or "
            "--rate."
        )


def _check_one_loop(closed: int, *, opened: bool, bounded: bool) -> None:
    if bounded and not opened:
        raise click.UsageError("--max-in-flight bounds an open loop: give --rate, --trace or --find-rate.")
    if closed and opened:
        raise click.UsageError(
            "--users, --phases, --stairs and --load-shape make a closed loop, --rate or --trace an open one: "
            "give one of them."
        )
    if closed > 1:
        raise click.UsageError("--users, --phases, --stairs and --load-shape exclude each other.")


def _refuse_no_effect(options: LoadOptions, *, opened: bool) -> None:
    """Refuse what was asked for and would change nothing: whoever gave it believes otherwise."""
    searching, sampled = options.find_rate, options.min_samples > 0
    rules = {
        "arrival": (
            opened and options.trace is None,
            "--arrival is for an open loop whose times no --trace says.",
        ),
        "burstiness": (options.arrival == "gamma", "--burstiness is for --arrival gamma."),
        "precision": (searching, "--precision is for --find-rate."),
        "max_duration_s": (sampled or searching, "--max-duration is for --min-samples and --find-rate."),
        "min_samples": (
            not searching,
            "--find-rate takes the samples that its limits need: no --min-samples.",
        ),
        "strict": (
            not searching,
            "--find-rate repeats void tests, and exits 3 where they stay so: no --strict.",
        ),
    }
    for name, (has_effect, why) in rules.items():
        if given(name) and not has_effect:
            raise click.UsageError(why)


def _check_workers(options: LoadOptions) -> None:
    if given("connect_timeout_s") and not options.expect_workers:
        raise click.UsageError("--connect-timeout is for the workers of --expect-workers.")
    if bool(options.expect_workers) != (options.master_bind is not None):
        raise click.UsageError("--expect-workers and --master-bind belong together.")
    if options.find_rate and options.expect_workers:
        raise click.UsageError(
            "--find-rate runs many tests, a worker elsewhere joins one: use --load-workers."
        )
