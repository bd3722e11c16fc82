"""The Locust processes of a load test: a lone one, or a master and workers here and on other machines."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

from modeldyno.base.errors import ConfigError, LoadTestError
from modeldyno.base.process.procs import Child, free_port, python_module, start
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.generator.run_plan import LOCUSTFILE, PLAN_VARIABLE, SPARE_USERS, WORKER_VARIABLE, Plan
from modeldyno.loadgen.server.endpoint import server_root
from modeldyno.loadgen.stats.merge import merged
from modeldyno.loadgen.stats.recording import Recording, load_recording

MAX_WORKERS = 256
DEFAULT_PORT = 5557
REMOTE_LIMIT_S = 600.0
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Workers:
    """Which processes send: `local` ones here, `remote` ones that `dyno load-worker` starts elsewhere."""

    local: int = 1
    remote: int = 0
    bind: str = LOOPBACK
    port: int | None = None
    """Where the master listens; None: a free one, which is for workers here only."""
    remote_within_s: float = REMOTE_LIMIT_S
    """How long workers elsewhere are waited for: they are started by hand."""
    cpus: tuple[int, ...] | None = None
    """Cores that the processes of this machine are pinned to; None: any."""

    @property
    def number(self) -> int:
        """All of them."""
        return self.local + self.remote

    @property
    def distributed(self) -> bool:
        """Whether there is a master; a lone process needs none."""
        return self.remote > 0 or self.local > 1


ALONE = Workers()


@dataclass(frozen=True)
class Fleet:
    """What runs here, the process that leads first."""

    head: Child
    workers: tuple[Child, ...]
    plan: Plan

    @property
    def pids(self) -> tuple[int, ...]:
        """Processes whose CPU and memory are the generator's."""
        return (self.head.pid, *(worker.pid for worker in self.workers))

    def ended(self) -> Child | None:
        """A process that has ended and should not have before the test began."""
        return next((one for one in (self.head, *self.workers) if one.returncode() is not None), None)

    def recordings(self) -> tuple[tuple[Recording, ...], tuple[str, ...]]:
        """What each process recorded; and in words which of them left nothing.

        Raises:
            LoadTestError: none did.
        """
        if self.plan.workers == 1:
            return (load_recording(self.plan.recording_file),), ()
        files = [self.plan.part_file(worker) for worker in range(self.plan.workers)]
        found = tuple(_received(path) for path in files if path.exists())
        fates = self._fates({part.pid for part in found})
        if not found:
            raise LoadTestError(f"all {len(files)} workers ended or hung during the load test{fates}")
        missing = len(files) - len(found)
        lost = (
            f"{missing} of {len(files)} workers ended or hung during the test, and their requests with them"
        )
        return found, ((lost + fates,) if missing else ())

    def _fates(self, heard_of: set[int]) -> str:
        """Say what became of those of this machine; the master lets the living go with status 0."""
        lost = [child for child in self.workers if child.pid not in heard_of]
        ends = [(child.pid, child.returncode()) for child in lost]
        return "".join(
            f"; process {pid} hung" if code is None else f"; process {pid} ended by exit status {code}"
            for pid, code in ends
        )


def _received(path: Path) -> Recording:
    """Read what a worker sent; it may run another Python, and need not mean well."""
    try:
        return load_recording(path)
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, BadZipFile) as error:
        raise LoadTestError(f"a worker sent something that is no recording: {error}") from error


@dataclass(frozen=True)
class Gathered:
    """What a fleet recorded."""

    whole: Recording
    parts: tuple[Recording, ...]
    """Of each process that left one."""
    lost: tuple[str, ...]
    """Which did not, in words."""


def gather(fleet: Fleet) -> Gathered:
    """Put together what each process recorded."""
    parts, lost = fleet.recordings()
    return Gathered(merged(parts), parts, lost)


def checked(workers: Workers, users: int | None) -> Workers:
    """Return `workers`.

    Raises:
        ConfigError: there are none, too many, or more than users; or others could not reach the master.
    """
    if not (workers.local >= 0 and workers.remote >= 0 and 1 <= workers.number <= MAX_WORKERS):
        raise ConfigError(f"a load test has from 1 to {MAX_WORKERS} workers, got {workers.number}")
    if users is not None and users < workers.number:
        raise ConfigError(f"{workers.number} workers share {users} users at first: give at least as many")
    if workers.remote and workers.port is None:
        raise ConfigError(
            "workers on other machines need an address of the master: `master_bind`", field="master_bind"
        )
    return workers


def check_shareable(spec: LoadSpec, workers: Workers) -> None:
    """See whether several processes can share a load.

    Raises:
        ConfigError: they can't.
    """
    if not workers.distributed:
        return
    if spec.shape:
        raise ConfigError(
            "a shape of your own is asked by one process",
            field="workers",
            hint="leave out `workers`, or say the same as `phases`",
        )
    if spec.scenario in ("SingleStream", "MultiStream"):
        raise ConfigError(
            f"the scenario {spec.scenario} is one stream of queries: leave out `workers`", field="workers"
        )


def plan_pool(workers: Workers, most: int) -> int:
    """Connections of one process in an open loop: those of one alone, dealt out."""
    return max(1, -(-most // workers.number)) if workers.distributed else most


def launch(
    plan: Plan, plan_file: Path, workers: Workers, stack: ExitStack, *, first_users: int | None
) -> Fleet:
    """Start the processes; leaving `stack` ends them. `first_users` is None in an open loop."""
    users = first_users or min(SPARE_USERS, plan.pool) * workers.number
    port = str(workers.port if workers.port is not None else free_port())
    command = locust("--headless", "--users", str(users), "--spawn-rate", str(users))
    command += ["--host", server_root(plan.spec.url)]
    if workers.distributed:
        command += ["--master", "--expect-workers", str(workers.number)]
        command += ["--master-bind-host", workers.bind, "--master-bind-port", port]
    env = backend(open_loop=plan.spec.rate_rps is not None) | {PLAN_VARIABLE: str(plan_file)}
    head = stack.enter_context(start(command, log=plan.log_file, env=env))
    local = range(workers.local if workers.distributed else 0)
    host = LOOPBACK if workers.bind in ("*", "0.0.0.0") else workers.bind  # noqa: S104 - compared, not bound
    children = [
        stack.enter_context(start_worker(host, port, Path(plan.folder) / f"worker-{number}", env))
        for number in local
    ]
    return Fleet(head, tuple(children), plan)


def start_worker(host: str, port: str, folder: Path, env: dict[str, str] | None = None) -> Child:
    """Start one Locust worker that gets everything else from the master at `host`."""
    folder.mkdir(parents=True)
    command = locust("--worker", "--master-host", host, "--master-port", port)
    given = {name: value for name, value in (env or backend()).items() if name != PLAN_VARIABLE}
    return start(command, log=folder / "locust.log", env=given | {WORKER_VARIABLE: str(folder)})


def locust(*args: str, locustfile: Path | None = None) -> list[str]:
    """Give the command line of a Locust with a locustfile of ours."""
    return python_module(
        "modeldyno.loadgen.generator.start",
        *("locust", "-f", str(locustfile or LOCUSTFILE), "--only-summary", "--loglevel", "WARNING", *args),
    )


def backend(*, open_loop: bool = True) -> dict[str, str]:
    """Choose how gevent waits, unless the user did."""
    if not open_loop or "GEVENT_BACKEND" in os.environ:
        return {}
    # libev's epoll sleeps in whole milliseconds, its select in microseconds: arrivals are sent on time.
    return {"GEVENT_BACKEND": "select"}


def parse_address(text: str) -> tuple[str, int]:
    """Split HOST[:PORT]; the port is Locust's own by default.

    Raises:
        ConfigError: there is no host, or the port is no port.
    """
    host, _, port_text = text.rpartition(":") if ":" in text else (text, "", str(DEFAULT_PORT))
    port = -1
    with suppress(ValueError):
        port = int(port_text)
    if not host or not 1 <= port <= 65535:
        raise ConfigError(f"{text!r} is no HOST or HOST:PORT")
    return host, port
