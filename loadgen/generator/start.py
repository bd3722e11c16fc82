"""`python -m modeldyno.loadgen.generator.start locust ...`: Locust, with no configuration but ours.

Locust reads ~/.locust.conf, locust.conf and pyproject.toml of the current folder, and each LOCUST_* variable:
what a user wrote there for tests of their own would change this one, e.g. its length. It counts the silence
of a master by the wall clock: one that is set forward would end all workers.
"""

from __future__ import annotations

import os
import sys
import time
from types import FunctionType, ModuleType


def _forget_the_environment() -> None:
    for name in [name for name in os.environ if name.startswith("LOCUST_")]:
        del os.environ[name]


def _read_no_files() -> None:
    """Give the parsers no files to read; they hold the names as defaults of their parameters."""
    from locust import argument_parser

    names = argument_parser.DEFAULT_CONFIG_FILES
    for function in (argument_parser.get_empty_argument_parser, argument_parser.get_parser):
        assert isinstance(function, FunctionType)  # noqa: S101 - as the installed Locust has it
        defaults = function.__defaults__ or ()
        function.__defaults__ = tuple(() if value is names else value for value in defaults)


def _count_by_the_steady_clock() -> None:
    from locust import runners

    steady = ModuleType("time")
    vars(steady).update(vars(time), time=time.monotonic)
    runners.time = steady
    runners.CONNECT_RETRY_COUNT = sys.maxsize  # whoever started this process bounds its wait


def main() -> None:
    """Be Locust's command."""
    _forget_the_environment()  # before Locust is imported: it looks at some of them then
    from locust.main import main as locust

    _read_no_files()
    _count_by_the_steady_clock()
    del sys.argv[1]  # the word locust, by which a list of processes tells what this one is
    locust()


if __name__ == "__main__":
    main()
