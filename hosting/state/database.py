"""SQLite through SQLAlchemy. A write is committed before it is answered; one host at a time has the folder.

Write-ahead log with synchronous=NORMAL: what is committed survives the end of the process at any moment.
After a loss of power the last commits may be gone; the file stays whole.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DatabaseError

from modeldyno.base.errors import ConfigError, OutputError
from modeldyno.hosting.state.tables import metadata

SCHEMA = 1


class Database:
    """The state of one folder, which it holds until it is closed."""

    def __init__(self, folder: Path) -> None:
        """Open a folder's state, making it where there is none.

        Raises OutputError where the folder can't be written, ConfigError where another host has it or where
        the state is not readable.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OutputError(f"{folder}: {error.strerror}", field="state") from error
        self._claim()
        self._writing = threading.Lock()
        self._engine = create_engine(f"sqlite:///{folder / 'state.sqlite'}", connect_args={"timeout": 30})
        event.listen(self._engine, "connect", _on_connect)
        event.listen(self._engine, "begin", _on_begin)
        self._writer = self._engine.execution_options(writes=True)
        try:
            self._prepare()
        except DatabaseError as error:
            self.close()
            raise ConfigError(f"{folder / 'state.sqlite'}: {error.orig}", field="state") from error

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; committed at its end, one at a time."""
        with self._writing, self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Let the folder go."""
        self._engine.dispose()
        os.close(self._lock_file)

    def _claim(self) -> None:
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock_file)
            raise ConfigError(
                f"{self.folder}: another dyno host has this state",
                field="state",
                hint="end that one, or choose another folder with `state`",
            ) from error

    def _prepare(self) -> None:
        with self.write() as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar() or 0
            if found > SCHEMA:
                self.close()
                raise ConfigError(
                    f"{self.folder}: the state has schema {found}, this version knows {SCHEMA}", field="state"
                )
            metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _on_begin says
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
