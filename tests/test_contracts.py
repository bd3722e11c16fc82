"""What we use of other packages' insides is still there: pyproject.toml has upper bounds for these packages.

They may change their insides between minor versions. Where a test fails with a newer version, look at the
code that uses the name before raising the bound.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
import uvicorn
from packaging.requirements import Requirement
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

BOUNDED = ("apache-tvm", "apache-tvm-ffi", "locust", "uvicorn")


def lacks(thing: object, names: Iterable[str]) -> list[str]:
    return [name for name in names if not hasattr(thing, name)]


def requirements() -> dict[str, Requirement]:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    return {each.name: each for each in map(Requirement, tomllib.loads(text)["project"]["dependencies"])}


@pytest.mark.parametrize("name", BOUNDED)
def test_packages_whose_insides_we_use_have_an_upper_bound_that_takes_the_installed_version(
    name: str,
) -> None:
    specifier = requirements()[name].specifier
    assert any(each.operator == "<" for each in specifier)
    assert specifier.contains(importlib.metadata.version(name))


def test_a_connection_of_uvicorn_has_what_ours_goes_by() -> None:
    async def made() -> HttpToolsProtocol:
        config = uvicorn.Config(lambda: None, http=HttpToolsProtocol, log_config=None)
        return HttpToolsProtocol(config=config, server_state=ServerState(), app_state={})

    connection = asyncio.run(made())
    calls = ("connection_made", "connection_lost", "on_message_begin", "on_message_complete", "on_body")
    state = ("loop", "timeout_keep_alive", "flow", "cycle", "scope", "transport", "config")
    assert lacks(connection, (*calls, "pause_writing", "resume_writing", *state)) == []
    assert lacks(FlowControl, ("pause_reading", "resume_reading")) == []
    source = inspect.getsource(RequestResponseCycle.__init__)
    assert [
        name for name in ("body", "message_event", "response_complete") if f"self.{name}" not in source
    ] == []


def test_a_server_of_uvicorn_has_what_ours_goes_by() -> None:
    server = uvicorn.Server(uvicorn.Config(lambda: None, log_config=None))
    assert lacks(server, ("startup", "shutdown", "handle_exit", "should_exit", "server_state")) == []
    assert lacks(server.server_state, ("connections", "tasks")) == []


def test_locusts_runners_have_what_ours_go_by() -> None:
    # In a child: importing locust patches the standard library.
    code = (
        "from locust.runners import LocalRunner, MasterRunner, WorkerRunner\n"
        "from locust.contrib.fasthttp import insecure_ssl_context_factory\n"
        "from locust import LoadTestShape, events\n"
        "for runner, names in ((LocalRunner, 'spawn_users quit user_count'),\n"
        "                      (MasterRunner, 'register_message send_message quit start'),\n"
        "                      (WorkerRunner, 'register_message send_message quit user_count')):\n"
        "    for name in names.split():\n"
        "        assert hasattr(runner, name), (runner, name)\n"
        "for name in 'request init test_start spawning_complete'.split():\n"
        "    assert hasattr(events, name), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_tvm_ffi_has_the_parts_that_are_imported_late_and_the_library_that_is_loaded_by_hand() -> None:
    spec = importlib.util.find_spec("tvm_ffi")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package = Path(spec.submodule_search_locations[0])
    assert (package / "lib" / "libtvm_ffi.so").is_file()
    assert (package / "_optional_torch_c_dlpack.py").is_file()
    assert "def load_lib_ctypes" in (package / "libinfo.py").read_text(encoding="utf-8")
    assert (package / "cpp").is_dir()
