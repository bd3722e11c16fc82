"""What was measured is written and printed, whichever of the two fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from modeldyno.base.command.console import say
from modeldyno.base.files import STDOUT
from modeldyno.base.records.record import Record, write_record


def keep_and_print(found: Record, output: Path | None, show: Callable[[], None]) -> None:
    """Write a record to `output`, if that is given, and print it by `show`.

    It is written first: whoever reads stdout may have gone. It is printed even when it could not be written,
    unless `output` is stdout: that gets the record alone.

    Raises:
        OutputError: it could not be written.
    """
    if output == STDOUT:
        write_record(STDOUT, found)
        return
    try:
        if output is not None:
            write_record(output, found)
            say(f"wrote {output}")
    finally:
        show()
