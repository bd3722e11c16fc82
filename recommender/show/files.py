"""The files that `dyno recommend` writes for other programs and for pull requests, beside its run folder."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from modeldyno.base.settings import Setting

if TYPE_CHECKING:
    from modeldyno.base.records.run import Recommendation


@dataclass(frozen=True)
class ResultFiles:
    """Where the result goes; `-` is standard output."""

    junit: Annotated[
        Path | None,
        Setting("Write JUnit XML, a test case for each candidate; - prints it.", path="file", metavar="FILE"),
    ] = None
    markdown: Annotated[
        Path | None,
        Setting(
            "Write Markdown for a pull request or a job's summary; - prints it.",
            path="file",
            metavar="FILE",
        ),
    ] = None
    csv: Annotated[
        Path | None,
        Setting(
            "Write a row for each candidate with all its numbers; - prints them.",
            path="file",
            metavar="FILE",
        ),
    ] = None

    def printed(self, *, as_json: bool = False) -> bool:
        """Say whether one of them is standard output, where no tables may stand then.

        Raises:
            UsageError: more than one result is to go there.
        """
        from modeldyno.base.command.outputs import check_one_on_stdout

        return check_one_on_stdout(astuple(self), also=as_json)


def write_files(found: Recommendation, files: ResultFiles) -> None:
    """Write what is asked for, each whole or not at all.

    Raises:
        OutputError: a file can't be written.
    """
    from modeldyno.base.files import write_text
    from modeldyno.recommender.show.as_csv import as_csv
    from modeldyno.recommender.show.as_junit import as_junit
    from modeldyno.recommender.show.as_markdown import as_markdown

    for path, made in ((files.junit, as_junit), (files.markdown, as_markdown), (files.csv, as_csv)):
        if path is not None:
            write_text(path, made(found))
