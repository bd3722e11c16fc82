"""`dyno baseline`: what a gate compares with, kept by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from modeldyno.base.command.console import print_json, print_table, say
from modeldyno.base.command.outputs import OutputFolder
from modeldyno.base.errors import ConfigError
from modeldyno.gate.store.place import DEFAULT_STORE

if TYPE_CHECKING:
    from modeldyno.gate.store.records import Baseline

F = TypeVar("F", bound=Callable[..., Any])
COLUMNS = ("name", "kind", "MB", "saved", "what it is")


def _store(*, written: bool) -> Callable[[F], F]:
    return click.option(
        "--store",
        type=OutputFolder() if written else click.Path(path_type=Path),
        default=DEFAULT_STORE,
        show_default=True,
        help="Folder of the baselines; a CI system can cache it.",
    )


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("baseline")
def baseline_command() -> None:
    """Keep what a gate compares with, by name.

    The model, artifact or server folder is copied, weights files beside it too, so that `dyno gate` can
    measure it again at any time and on any machine that it runs on. Of a saved run only its numbers are kept.

    \b
    Example:
        dyno baseline save main artifact

    Exit codes: 0 done; 2 bad input, no such baseline, or it can't be written.
    """


@baseline_command.command("save")
@click.argument("name")
@click.argument("reference", metavar="REF")
@_store(written=True)
@_json
def save_command(*, name: str, reference: str, store: Path, as_json: bool) -> None:
    """Copy what REF names into the store as NAME; what had that name is replaced.

    REF is an .onnx file, an artifact folder, a folder with an inference.py, the result file of a `dyno load`
    or a `dyno gate`, or another baseline. The copy is made whole or not at all.

    \b
    Example:
        dyno baseline save main artifact

    Exit codes: 0 saved; 2 bad input, or it can't be written.
    """
    from modeldyno.gate.sides.resolve import resolve
    from modeldyno.gate.store.folder import check_name, save

    check_name(name)
    side = resolve(reference, store)
    if side.content is None:
        raise ConfigError(
            f"{reference} is a URL, of which no copy can be kept",
            hint=f"keep its numbers: `dyno load {reference} -o run.json`, and save run.json",
        )
    record = save(store, name, side.content, reference)
    if as_json:
        print_json(record.model_dump(mode="json"))
        return
    say(f"saved {name}: {record.detail}, {_megabytes(record)} MB in {store / name}")
    if record.kind == "saved run":
        say("numbers alone: a gate against them can warn, and decide nothing")


@baseline_command.command("list")
@_store(written=False)
@_json
def list_command(*, store: Path, as_json: bool) -> None:
    """List the baselines of the store.

    \b
    Example:
        dyno baseline list --json

    Exit codes: 0 listed; 2 bad input.
    """
    from modeldyno.gate.store.folder import baselines

    found = list(baselines(store))
    read = [each for _, each in found if not isinstance(each, ConfigError)]
    if as_json:
        print_json([each.model_dump(mode="json") for each in read])
    elif read:
        print_table(COLUMNS, map(_row, read), right=("MB",))
    for name, each in found:
        if isinstance(each, ConfigError):
            say(f"{name}: {each}")
    if not found:
        say(f"no baselines in {store}")


@baseline_command.command("show")
@click.argument("name")
@_store(written=False)
@_json
def show_command(*, name: str, store: Path, as_json: bool) -> None:
    """Show a baseline, after its files were compared with their digests.

    \b
    Example:
        dyno baseline show main

    Exit codes: 0 shown, and the copy is whole; 2 no such baseline, or it is damaged.
    """
    from modeldyno.gate.store.folder import checked

    record, served = checked(store, name)
    if as_json:
        print_json({**record.model_dump(mode="json"), "path": str(served)})
        return
    for label, value in _facts(record, served):
        click.echo(f"{label:<10}{value}")


@baseline_command.command("remove")
@click.argument("name")
@_store(written=True)
@_json
def remove_command(*, name: str, store: Path, as_json: bool) -> None:
    """Remove a baseline, also a damaged one.

    \b
    Example:
        dyno baseline remove main

    Exit codes: 0 removed; 2 no such baseline, or it can't be removed.
    """
    from modeldyno.gate.store.folder import remove

    remove(store, name)
    if as_json:
        print_json({"removed": name})
    else:
        say(f"removed {name} from {store}")


def _row(record: Baseline) -> tuple[str, ...]:
    return record.name, record.kind, _megabytes(record), record.created_at[:16], record.detail


def _facts(record: Baseline, served: Path) -> list[tuple[str, str]]:
    host = record.host
    versions = ", ".join(f"{name} {version}" for name, version in host.packages.items())
    return [
        ("name", record.name),
        ("kind", record.kind),
        ("is", record.detail),
        ("from", record.reference),
        ("saved", record.created_at),
        ("on", f"{host.cpu_model}, {host.usable_cores} usable cores, {host.kernel}"),
        ("with", versions),
        ("digest", f"BLAKE2b {record.digest}"),
        ("files", f"{len(record.files)}, {_megabytes(record)} MB, whole"),
        ("path", str(served)),
    ]


def _megabytes(record: Baseline) -> str:
    return f"{record.bytes / 1e6:.3g}"
