"""`dyno recommend`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modeldyno.base.command.complete import files_ending
from modeldyno.base.command.console import say
from modeldyno.base.command.outputs import no_stdout
from modeldyno.base.command.shape_flag import split_shapes
from modeldyno.base.errors import ConfigError, ModelError, ServerError
from modeldyno.base.exit_codes import ANSWER_IS_NO, DONE, INTERRUPTED, NOT_DECIDED, TERMINATED

if TYPE_CHECKING:
    from modeldyno.base.records.run import Recommendation
    from modeldyno.recommender.job.job import Job

FIELDS = {"target": "compile.target", "shapes": "shape", "instance_types": "candidates.instance_types"}
"""Fields that an error may be about, and their places in a job file, where those are others."""


@click.command("recommend", short_help="Measure a model's candidate configurations and rank them.")
@click.argument("model", type=click.Path(path_type=Path), shell_complete=files_ending(".onnx", ".pt2"))
@click.option(
    "--job",
    "job_file",
    type=click.Path(path_type=Path),
    shell_complete=files_ending(".yaml", ".yml"),
    help="YAML file: candidates, load, limits. Left out: a few small instance types at 1, 2 and 4 users.",
)
@click.option(
    "--output",
    "-o",
    "run_dir",
    type=click.Path(path_type=Path),
    callback=no_stdout,
    required=True,
    help="Run folder; one of an interrupted run is resumed.",
)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=1..32,3,224,224",
    help="Shape of an input that the model leaves open, as `dyno compile` takes it; overrides the job's.",
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be measured, how long, and what not and why; run nothing."
)
@click.option("--retry-failed", is_flag=True, help="Measure again what failed earlier in this run folder.")
@click.option("--json", "as_json", is_flag=True, help="Print recommendation.json instead of tables.")
def recommend_command(
    *,
    model: Path,
    job_file: Path | None,
    run_dir: Path,
    shapes: tuple[str, ...],
    dry_run: bool,
    retry_failed: bool,
    as_json: bool,
) -> int:
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

    Exit codes: 0 ranked; 1 no candidate meets the limits; 2 bad input, or nothing could be measured; 3 none
    was found to meet them, and not all is decided: a load test is void or has too few samples, or a search
    ended early; 130 interrupted, 143 ended by SIGTERM.
    """
    from modeldyno.recommender.run import plan_run, recommend
    from modeldyno.recommender.show.result_tables import print_plan, print_summary
    from modeldyno.recommender.show.screen import shown_progress

    job = _job(job_file, shapes)
    if dry_run:
        with _naming_lines(job_file):
            planned = plan_run(model, job, run_dir, retry_failed=retry_failed)
        print_plan(planned, as_json=as_json)
        return 0
    with _interruptible(run_dir), shown_progress() as on_event, _naming_lines(job_file):
        found = recommend(model, job, run_dir, on_event=on_event, retry_failed=retry_failed)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    else:
        print_summary(found, run_dir)
    return exit_code(found, run_dir)


def exit_code(found: Recommendation, run_dir: Path) -> int:
    """Give the exit code of a run: a ranking of void load tests alone says as little as none.

    Raises:
        ServerError: nothing could be measured.
    """
    if any(row.valid for row in found.ranking):
        return DONE
    if found.ranking or any(row.undecided or not row.valid for row in found.rejected):
        return NOT_DECIDED
    if not any(row.samples for row in found.rejected):
        raise ServerError(f"nothing could be measured: every candidate failed; the reasons are in {run_dir}")
    return ANSWER_IS_NO


def _job(path: Path | None, shapes: tuple[str, ...]) -> Job:
    from modeldyno.recommender.job.job import Job, load_job, with_shapes

    job = load_job(path) if path is not None else Job()
    return with_shapes(job, split_shapes(shapes)) if shapes else job


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
            kept = len(list((run_dir / "trials").glob("*.json")))
            say(
                f"interrupted: all that was started is stopped; {kept} finished trials are kept in "
                f"{run_dir}; the same command goes on from there"
            )
            code = TERMINATED if isinstance(error, Terminated) else INTERRUPTED
            raise click.exceptions.Exit(code) from None
