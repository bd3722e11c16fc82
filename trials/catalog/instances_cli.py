"""`dyno instances`: list what the instance catalogue has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modeldyno.base.command.complete import completing
from modeldyno.base.command.console import print_json, print_table, say
from modeldyno.base.command.renamed import Renamed, RenamingCommand
from modeldyno.base.exit_codes import ANSWER_IS_NO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modeldyno.base.records.run import InstanceType

COLUMNS = ("instance type", "arch", "vCPUs", "cores", "GiB", "USD/h", "CoreMark/s", "CPU", "GPU")
NUMBERS = ("vCPUs", "cores", "GiB", "USD/h", "CoreMark/s")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _begun(begun: str) -> list[str]:
    """Give the instance types whose names begin so."""
    from modeldyno.trials.catalog.instance_types import load_catalog

    return [name for name in load_catalog(None) if name.startswith(begun)]


@click.command("instances", short_help="List the instance types of the catalogue.", cls=RenamingCommand)
@click.argument("names", metavar="[NAME_OR_GLOB]...", nargs=-1, shell_complete=completing(_begun))
@click.option(
    "--arch", "architecture", type=click.Choice(["x86_64", "arm64"]), help="Only this CPU architecture."
)
@click.option("--min-vcpus", type=click.IntRange(min=1), metavar="N", help="At least N vCPUs.")
@click.option("--max-vcpus", type=click.IntRange(min=1), metavar="N", help="At most N vCPUs.")
@click.option("--min-memory-gib", type=click.FloatRange(min=0), metavar="N", help="At least N GiB of memory.")
@click.option("--max-usd-per-hour", type=click.FloatRange(min=0), metavar="X", help="At most X USD an hour.")
@click.option("--gpu/--no-gpu", default=None, help="Only types with a GPU, or only types without one.")
@click.option("--family", metavar="F", help="Only this family, e.g. c7i or ml.g5.")
@click.option(
    "--sort",
    type=click.Choice(["usd_per_hour", "vcpus", "memory_gib", "coremark_per_usd"]),
    default="usd_per_hour",
    show_default=True,
    help="Lowest first; of coremark_per_usd (CoreMark iterations that one USD buys) the highest.",
)
@click.option(
    "--catalog", type=_FILE, metavar="FILE", help="CSV or YAML with more, or other, instance types."
)
@click.option(
    "--top",
    cls=Renamed,
    old="--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show the first N.  [default: all]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def instances_command(
    *,
    names: tuple[str, ...],
    sort: Any,
    catalog: Path | None,
    top: int | None,
    as_json: bool,
    **wanted: Any,
) -> None:
    """List the instance types of the catalogue.

    NAME_OR_GLOB is a name (c7g.xlarge) or a quoted pattern ('c7*.xlarge'); without one, all are listed.
    Prices are on-demand, Linux, us-east-1.

    \b
    Example:
        dyno instances 'c7*.xlarge' --sort vcpus

    Exit codes: 0 listed; 1 no instance type matches; 2 bad input.
    """
    from modeldyno.trials.catalog.filters import InstanceFilter, select_instances
    from modeldyno.trials.catalog.instance_types import load_catalog, match_instances

    known = load_catalog(catalog)
    named = match_instances(known, names) if names else known.values()
    found = select_instances(named, InstanceFilter(**wanted), sort)
    if as_json:
        print_json([instance.model_dump() for instance in found[:top]])
    elif found:
        _print(found[:top], len(found))
    if not found:
        say(f"no instance type matches (of {len(known)} in the catalogue)")
        click.get_current_context().exit(ANSWER_IS_NO)


def _print(instances: Sequence[InstanceType], matching: int) -> None:
    print_table(COLUMNS, map(_cells, instances), right=NUMBERS)
    shown = f"{len(instances)} of {matching}" if len(instances) < matching else f"{matching}"
    click.echo(
        f"Shown: {shown}. Catalogue prices are on-demand, Linux, us-east-1, without storage and traffic:"
    )
    for source, date in dict.fromkeys((each.price_source, each.price_date) for each in instances):
        click.echo(f"  {source}; {date}")
    click.echo(
        "GiB is what the operating system sees. CoreMark is an integer benchmark, no measure of a model."
    )


def _cells(instance: InstanceType) -> tuple[str, ...]:
    gpu = f"{instance.gpu_count} x {instance.gpu}" if instance.gpu else "-"
    coremark = "-" if instance.coremark_per_s is None else f"{instance.coremark_per_s:.0f}"
    return (
        instance.instance_type,
        instance.architecture,
        str(instance.vcpus),
        "-" if instance.cores is None else str(instance.cores),
        f"{instance.memory_gib:g}",
        f"{instance.usd_per_hour:.4f}",
        coremark,
        instance.cpu_model or "-",
        gpu,
    )
