"""What `--bisect` goes through: baselines of the store by age, or revisions that a command prints.

The commands are the user's own, run by /bin/sh with all that this process may do.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from modeldyno.base.errors import ConfigError
from modeldyno.base.process.procs import start
from modeldyno.gate.store.folder import names, read

LIMIT_S = 3600.0
_KEEPING_STDOUT = 'eval "$1" > "$2"'


def good_and_bad(text: str) -> tuple[str, str]:
    """Read `GOOD..BAD`.

    Raises:
        ConfigError: it is no range.
    """
    good, dots, bad = text.partition("..")
    if not (good and dots and bad) or bad.startswith(".") or ".." in bad:
        raise ConfigError(f"`bisect` {text!r}: expected GOOD..BAD, e.g. v1..main", field="bisect")
    return good, bad


def stored_between(store: Path, good: str, bad: str) -> tuple[str, ...]:
    """Give the baselines from `good` to `bad`, in the order in which they were saved.

    Raises:
        ConfigError: one of the two is not there, or `bad` was saved first.
    """
    ends = [read(store, name) for name in (good, bad)]
    ages = sorted((read(store, name).created_at, name) for name in names(store))
    ordered = [name for _, name in ages]
    first, last = ordered.index(good), ordered.index(bad)
    if first >= last:
        raise ConfigError(
            f"`bisect` {good}..{bad}: {bad} was saved at {ends[1].created_at}, "
            f"not after {good} ({ends[0].created_at})",
            field="bisect",
        )
    return tuple(ordered[first : last + 1])


def printed_revisions(command: str, good: str, bad: str, log: Path) -> tuple[str, ...]:
    """Run what prints the revisions behind GOOD up to BAD, one a line, the oldest first; GOOD is put before.

    `{good}` and `{bad}` in the command stand for them, e.g. `git rev-list --reverse {good}..{bad}`.

    Raises:
        ConfigError: it fails, or prints none.
    """
    lines = [each.strip() for each in _printed(_filled(command, good=good, bad=bad), log).splitlines()]
    found = [line for line in lines if line]
    if not found:
        raise ConfigError(f"no revisions from {good} to {bad}: {command} printed none", field="bisect")
    return tuple(dict.fromkeys((good, *found)))


def built(command: str, revision: str, log: Path, limit_s: float = LIMIT_S) -> str:
    """Run what builds a revision, whose name stands for `{rev}`; the last line that it prints is a REF.

    Raises:
        ConfigError: it fails, takes longer than `limit_s`, or prints nothing.
    """
    lines = _printed(_filled(command, rev=revision), log, limit_s).strip().splitlines()
    if not lines:
        raise ConfigError(f"{command} printed no reference for {revision}: its last line has to be one")
    return lines[-1].strip()


def _filled(command: str, **values: str) -> str:
    for name, value in values.items():
        command = command.replace(f"{{{name}}}", shlex.quote(value))
    return command


def _printed(command: str, log: Path, limit_s: float = LIMIT_S) -> str:
    output = log.with_suffix(".out")
    with start(["/bin/sh", "-c", _KEEPING_STDOUT, "sh", command, str(output)], log=log) as child:
        try:
            code = child.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise ConfigError(f"{command} took longer than {limit_s:g} s") from None
    if code != 0:
        last = child.log_tail(1).strip()
        raise ConfigError(f"{command} ended with exit status {code}{f': {last}' if last else ''}")
    return output.read_text(encoding="utf-8", errors="replace")
