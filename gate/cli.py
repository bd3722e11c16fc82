"""`dyno gate`."""

from __future__ import annotations

import click

from modeldyno.base.command.console import say
from modeldyno.base.flags import flags_of
from modeldyno.gate.options import GateOptions


@click.command("gate", short_help="Judge a change: measure a candidate against its baseline, side by side.")
@flags_of(GateOptions, "options")
def gate_command(options: GateOptions) -> int:
    """Judge a change: measure a candidate against its baseline, side by side.

    Both are served on the same cores and take turns under load, in drawn order, a moment each; the difference
    is judged by the turns. What else the machine does meets both. Without `--max-regression`, 5 % more median
    latency is a regression.

    \b
    Example:
        dyno baseline save main artifact
        dyno gate --baseline main --candidate artifact-of-this-branch --max-regression p50_ms=5%

    Exit codes: 0 pass or improvement; 1 regression; 2 bad input, or a side can't be started or dies; 3 not
    decided; 130 interrupted, 143 ended by SIGTERM.
    """
    from modeldyno.gate.run import gate

    record = gate(options.baseline, options.candidate, options, tell=say)
    if options.as_json:
        click.echo(record.model_dump_json(indent=2))
    else:
        for each in record.metrics:
            click.echo(f"{each.metric}: {each.verdict}: {each.text}")
        click.echo(record.headline)
    return record.exit_code
