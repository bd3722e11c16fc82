"""What master and workers of a distributed load test say to each other, over Locust's own connection.

    worker  hello   who it is; answered by `plan`, the files of the plan's folder, or by `refused`
    worker  ready   its users are there
    master  begin   when time 0 is
    worker  state   each second: how far it is, the latencies since the last time, and what the rules need
    master  close   when the window ends
    master  cut     what has no answer now is not waited for: the test was cut short
    worker  part    a piece of its recording; the last one says so

Locust packs messages with msgpack: data, never code.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from modeldyno.base.errors import LoadTestError
from modeldyno.base.files import write_bytes

HELLO, PLAN, REFUSED, READY = "dyno-hello", "dyno-plan", "dyno-refused", "dyno-ready"
BEGIN, STATE, CLOSE, PART = "dyno-begin", "dyno-state", "dyno-close", "dyno-part"
CUT = "dyno-cut"
PIECE_BYTES = 4 << 20
MAX_FOLDER_BYTES = 1 << 30


def boot_id() -> str:
    """Name this start of this machine's kernel: processes with the same one share a monotonic clock.

    Empty where the system does not tell.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pack_folder(folder: Path, names: list[str]) -> dict[str, bytes]:
    """Read the named files of a folder, and all the files of the named folders in it."""
    paths = [
        path
        for name in names
        for path in sorted([folder / name, *(folder / name).rglob("*")])
        if path.is_file()
    ]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def unpack_folder(files: dict[str, bytes], folder: Path) -> None:
    """Write packed files.

    Raises:
        LoadTestError: a name leads out of the folder, or the files are too large: no master of ours did that.
    """
    if sum(map(len, files.values())) > MAX_FOLDER_BYTES:
        raise LoadTestError(f"the master's plan is larger than {MAX_FOLDER_BYTES >> 20} MiB")
    for name, content in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not isinstance(content, bytes):
            raise LoadTestError(f"the master sent a file named {name!r}, which leads out of the plan")
        write_bytes(folder / path, content)
