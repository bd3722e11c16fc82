"""Every error a user can act on; the command prints it without a traceback and exits with its code.

DynoError               exit code 2
├── ConfigError         a value in a file, flag or environment variable is wrong
├── ModelError          the source model can't be read, or has no fixed signature
├── CompileError        a pipeline stage failed; has .stage, .target, .operators
│   ├── ParityError     the compiled model's outputs differ from the source model's
│   └── CoverageError   less of the model is compiled than was asked for (exit code 1: a gate, no mistake)
├── ArtifactError       an artifact is damaged, of a newer schema, or made for another machine
├── RequestError        one request can't be served; has .status, the HTTP status
├── ServerError         a model server died, or never became ready
├── LoadTestError       the endpoint could not be measured
│   └── UnansweredError it was asked as it should be, and answered nothing
└── OutputError         a result could not be written (full disk, read-only folder)

Anything else that escapes is a bug in this code: let it trace back.
A message says what was found and where. `field` names the setting that it is about ("max_batch"), `hint` says
what to do about it. Libraries speak of fields; a command shows them as its flags ("--max-batch").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class DynoError(Exception):
    """Base of all errors that a user can act on.

    field: the setting that is wrong, by its name in Python, e.g. "max_batch"; None where no single one is.
    hint: what to do about it; it names settings in backticks, `max_batch` or `max_batch=8`, as the message
        may, which a command shows as its flags.
    """

    exit_code = 2

    def __init__(self, *args: object, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(*args)
        self.field = field
        self.hint = hint

    @property
    def message(self) -> str:
        """What was found, without the hint."""
        return super().__str__()

    def __str__(self) -> str:
        """Give the message, then the hint."""
        return f"{self.message}: {self.hint}" if self.hint else self.message


class ConfigError(DynoError):
    """A value in a file, flag or environment variable is wrong."""


class ModelError(DynoError):
    """The source model can't be read, or has no fixed signature."""


class CompileError(DynoError):
    """A pipeline stage failed."""

    def __init__(
        self,
        message: str,
        *,
        stage: str,
        target: str,
        operators: tuple[str, ...] = (),
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, field=field, hint=hint)
        self.stage = stage
        self.target = target
        self.operators = operators


class ParityError(CompileError):
    """The compiled model's outputs differ from the source model's by more than is allowed on some inputs."""

    def __init__(
        self,
        message: str,
        *,
        stage: str,
        target: str,
        operators: tuple[str, ...] = (),
        feeds: dict[str, Any] | None = None,
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, stage=stage, target=target, operators=operators, field=field, hint=hint)
        self.feeds = feeds  # the inputs, by name; None where they are not known


class CoverageError(CompileError):
    """Less of the model is compiled than was asked for."""

    exit_code = 1


class ArtifactError(DynoError):
    """An artifact is damaged, of a newer schema, or made for another machine."""


class RequestError(DynoError):
    """One request can't be served; `status` is the HTTP status to answer with."""

    def __init__(
        self, message: str, *, status: int = 400, field: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, field=field, hint=hint)
        self.status = status


class ServerError(DynoError):
    """A model server died, or never became ready; the message carries its last lines."""


class LoadTestError(DynoError):
    """The endpoint could not be measured."""


class UnansweredError(LoadTestError):
    """The endpoint was asked as it should be, and no request succeeded: that says something of it."""


class OutputError(DynoError):
    """A result could not be written."""


def unknown_name(kind: str, name: str, known: Iterable[str], *, hint: str = "") -> str:
    """Word a message for a name that is not known, with the nearest names that are."""
    from difflib import get_close_matches  # here: all that is loaded to run a model has errors

    near = get_close_matches(name, list(known), n=3, cutoff=0.5)
    nearest = f"; nearest: {', '.join(near)}" if near else ""
    tail = f" ({hint})" if hint else ""
    return f"unknown {kind} {name!r}{nearest}{tail}"


def first_line(error: BaseException) -> str:
    """Give the first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
