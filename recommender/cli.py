"""`dyno recommend`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modeldyno.base.clock import utc_now
from modeldyno.base.command.complete import files_ending
from modeldyno.base.command.console import say
from modeldyno.base.command.shape_flag import split_shapes
from modeldyno.base.errors import ConfigError, ModelError, ServerError
from modeldyno.base.exit_codes import ANSWER_IS_NO, DONE, INTERRUPTED, NOT_DECIDED, TERMINATED
from modeldyno.base.flags import flags_of
from modeldyno.recommender.options import RunOptions
from modeldyno.recommender.show.files import ResultFiles, write_files

if TYPE_CHECKING:
    from modeldyno.base.records.run import Recommendation, Row
    from modeldyno.recommender.job.job import Job

FIELDS = {"target": "compile.target", "shapes": "shape", "instance_types": "candidates.instance_types"}
"""Fields that an error may be about, and their places in a job file, where those are others."""


@click.command("recommend", short_help="Measure a model's candidate configurations and rank them.")
@flags_of(
    RunOptions,
    "options",
    complete={"model": files_ending(".onnx", ".pt2"), "job": files_ending(".yaml", ".yml")},
)
@flags_of(ResultFiles, "files")
def recommend_command(options: RunOptions, files: ResultFiles) -> int:
    """Measure a model's candidate configurations and rank them.

    MODEL is an .onnx or torch.export .pt2 file. Each candidate is a backend (ONNX Runtime; compiled) on an
    instance type with server settings: its server is started in the shape of that type on this machine,
    loaded, and recorded. Those that meet the limits are ranked by cost per million requests. A run that was
    interrupted goes on when the same command is given again.

    The job file says what is compared, how each is loaded or searched for its highest rate, what it must
    meet, and how the model is compiled: docs/job.md has every field.

    \b
    Example:
        dyno recommend model.onnx --job job.yaml -o run
        dyno recommend model.onnx --instance 'c7a.*' --traffic day=40,night=5 --limit p99_ms=100

    Exit codes: 0 ranked; 1 no candidate meets the limits; 2 bad input, or nothing could be measured; 3 none
    was found to meet them, and not all is decided: a load test is void or has too few samples, or a search
    ended early, or, with --strict, there is no single best; 130 interrupted, 143 ended by SIGTERM.
    """
    from modeldyno.recommender.run import plan_run, recommend
    from modeldyno.recommender.show.result_tables import print_plan, print_summary
    from modeldyno.recommender.show.screen import shown_progress
    from modeldyno.recommender.store.again import parse_again

    printed = files.printed(as_json=options.as_json)
    job, output = _job(options), options.output or default_output(options.model)
    again = parse_again(options.remeasure, retry_failed=options.retry_failed)
    if options.dry_run:
        with _naming_lines(options.job):
            planned = plan_run(options.model, job, output, again=again)
        print_plan(planned, as_json=options.as_json)
        return 0
    if options.wait_idle_s:
        _wait_idle(options.wait_idle_s)
    with _interruptible(output), shown_progress() as on_event, _naming_lines(options.job):
        found = recommend(options.model, job, output, on_event=on_event, again=again)
    if options.as_json:
        click.echo(found.model_dump_json(indent=2))
    elif not printed:
        print_summary(found, output)
    write_files(found, files)
    return exit_code(found, output, strict=options.strict, require=options.require)


def exit_code(
    found: Recommendation, run_dir: Path, *, strict: bool = False, require: str | None = None
) -> int:
    """Give the exit code of a run: a ranking of void load tests alone says as little as none.

    Raises:
        ServerError: nothing could be measured.
    """
    valid = [row for row in found.ranking if row.valid]
    if require is not None and valid and not any(row.backend == require for row in valid):
        return NOT_DECIDED if any(_undecided(row, require) for row in found.rejected) else ANSWER_IS_NO
    if valid:
        return NOT_DECIDED if strict and valid[0].tied_with_best else DONE
    if found.ranking or any(row.undecided or not row.valid for row in found.rejected):
        return NOT_DECIDED
    if not any(row.samples for row in found.rejected):
        raise ServerError(f"nothing could be measured: every candidate failed; the reasons are in {run_dir}")
    return ANSWER_IS_NO


def _undecided(row: Row, backend: str) -> bool:
    return row.backend == backend and bool(row.undecided or not row.valid)


def _wait_idle(most_s: float) -> None:
    from modeldyno.trials.rounds.quiet import wait_until_quiet

    say("waiting for the machine to be idle")
    if why := wait_until_quiet(most_s):
        say(f"after {most_s:g} s it is not: {why}; measuring all the same")


def default_output(model: Path) -> Path:
    """The run folder of a model on this day: the same command goes on with it."""
    return Path("runs") / f"{model.stem}-{utc_now()[:10]}"


def _job(options: RunOptions) -> Job:
    from modeldyno.loadgen.spec.limit_names import parse_limits_of_one_test
    from modeldyno.recommender.job.given import with_given
    from modeldyno.recommender.job.job import Job, load_job, with_shapes
    from modeldyno.recommender.job.traffic_section import parse_traffic

    job = load_job(options.job) if options.job is not None else Job()
    traffic = parse_traffic(options.traffic) if options.traffic is not None else {}
    on_top = {"headroom": options.headroom, "spare": options.spare}
    job = with_given(
        job,
        instances=options.instances,
        traffic={**traffic, **{name: value for name, value in on_top.items() if value is not None}},
        limits=parse_limits_of_one_test(options.limits),
    )
    return with_shapes(job, split_shapes(options.shapes)) if options.shapes else job


@contextmanager
def _naming_lines(job_file: Path | None) -> Iterator[None]:
    """What only the model or the catalogue shows to be wrong gets the line of its field, if it is there."""
    from modeldyno.recommender.job.yaml_lines import line_of

    try:
        yield
    except (ConfigError, ModelError) as error:
        field = FIELDS.get(error.field, error.field) if error.field else None
        line = line_of(job_file, field) if job_file is not None and field is not None else None
        if line is None:
            raise
        raise type(error)(f"{job_file}:{line}: {field}: {error.message}", hint=error.hint) from error


@contextmanager
def _interruptible(run_dir: Path) -> Iterator[None]:
    """Ctrl-C and SIGTERM take down what was started, then say how to go on."""
    from modeldyno.base.process.interrupts import Terminated, interrupted_by_sigterm
    from modeldyno.base.process.procs import stop_all

    with interrupted_by_sigterm():
        try:
            yield
        except KeyboardInterrupt as error:
            stop_all()  # what the interrupt kept from being stopped on its way here
            kept, starts = (len(list((run_dir / name).glob("*.json"))) for name in ("trials", "starts"))
            more = f", and the load tests of {starts} starts" if starts else ""
            say(
                f"interrupted: all that was started is stopped; {kept} finished trials are kept in "
                f"{run_dir}{more}; the same command goes on from there"
            )
            code = TERMINATED if isinstance(error, Terminated) else INTERRUPTED
            raise click.exceptions.Exit(code) from None
