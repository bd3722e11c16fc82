"""This machine, cut down to the shape of an instance type: cores by affinity, memory by a control group."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from modeldyno.base.errors import ServerError
from modeldyno.base.flags import arguments_of
from modeldyno.base.host.cgroups import MemoryCgroup, memory_cgroup, oom_killed
from modeldyno.base.host.facts import host_facts, usable_cores
from modeldyno.base.process.cpu_clocks import tree
from modeldyno.base.process.procs import Child, python_module, start
from modeldyno.base.records.record import HostFacts
from modeldyno.base.records.run import Candidate, Fidelity, InstanceType
from modeldyno.base.units import BYTES_PER_GIB
from modeldyno.loadgen.generator.fleet import Workers
from modeldyno.serving.settings import ServeSettings
from modeldyno.trials.providers.base import SERVING, Order, ProcessTree, State

POLL_S = 0.05
PING_TIMEOUT_S = 2.0
ARCHITECTURES = {"aarch64": "arm64", "AMD64": "x86_64"}  # the kernel's word: the catalogue's word


@dataclass(frozen=True)
class LocalDeployment:
    """A server process on this machine."""

    url: str
    startup_s: float
    generator: Workers
    notes: tuple[str, ...]
    process: ServerProcess
    cores: tuple[int, ...] = ()

    @property
    def usage(self) -> ProcessTree:
        """The server and its children."""
        return ProcessTree(self.process.child.pid)

    @property
    def pausing(self) -> StoppedTree:
        """By signals to its processes."""
        return StoppedTree(self.process.child.pid)

    @property
    def state(self) -> State:
        """Whether the server's process lives, and keeps to its memory."""
        death = self.process.death()
        return SERVING if death is None else State(serving=False, reason=death)


@dataclass(frozen=True)
class StoppedTree:
    """A server and its processes, stopped by SIGSTOP; the kernel takes connections for them meanwhile."""

    pid: int

    def pause(self) -> None:
        """From now on it uses no CPU, and answers nothing. Who watches over the others goes first."""
        _signal(tree(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on as if no time had passed; nothing happens to one that runs."""
        _signal(reversed(tree(self.pid)), signal.SIGCONT)


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


@dataclass(frozen=True)
class ServerProcess:
    """A server, its memory cap, and the shape that it has to keep to."""

    child: Child
    group: MemoryCgroup | None
    instance: InstanceType

    def death(self) -> str | None:
        """Say why the server is gone, or return None while it lives."""
        if self.group is not None and oom_killed(self.group):
            return f"killed: exceeded the {self.instance.memory_gib:g} GiB of {self.instance.instance_type}"
        code = self.child.returncode()
        if code is None:
            return None
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit status {code}"
        last = self.child.log_tail(1).strip()
        return f"the server {how}" + (f"; its last line: {last}" if last else "")


@dataclass(frozen=True)
class LocalProvider:
    """Emulates instance types on this machine; `measured` when this machine is that very type."""

    host: HostFacts = field(default_factory=host_facts)
    cores: tuple[int, ...] = field(default_factory=usable_cores)

    @property
    def name(self) -> str:
        """What run folders know it by."""
        return "local"

    def refusal(self, instance: InstanceType) -> str | None:
        """Say why this instance type cannot run here, or return None; starts nothing."""
        architecture = catalog_architecture(self.host)
        if instance.architecture != architecture:
            return f"{instance.architecture} cannot be emulated on {architecture}"
        if instance.gpu is not None:
            return f"needs a GPU ({instance.gpu}), which is not emulated"
        if instance.vcpus > len(self.cores):
            have = f"{len(self.cores)} usable core{'s' if len(self.cores) > 1 else ''}"
            return f"needs {instance.vcpus} vCPUs, this host has {have}"
        return None

    def fidelity(self, instance: InstanceType) -> Fidelity:
        """How near the numbers taken here are to that instance type; `ml.X` is the machine X."""
        same = self.host.instance_type == instance.instance_type.removeprefix("ml.")
        return "measured" if same else "emulated"

    def split(self, instance: InstanceType) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
        """Cores for the server, and what is left for the load generator (None: nothing, it shares)."""
        return self.cores[: instance.vcpus], self.cores[instance.vcpus :] or None

    @contextmanager
    def deploy(self, order: Order) -> Iterator[LocalDeployment]:
        """Start a server, wait until it is ready, and take all of it down on leaving.

        Raises:
            ServerError: it died or never got ready; its output is in `order.log`.
        """
        server_cpus, generator_cpus = self.split(order.instance)
        port_file = order.log.with_suffix(".port")
        with ExitStack() as stack:
            group = stack.enter_context(_cap(order))
            stack.callback(port_file.unlink, missing_ok=True)
            port_file.unlink(missing_ok=True)
            began = time.monotonic()
            args = serve_command(order.model, order.candidate, server_cpus, port_file)
            child = stack.enter_context(start(args, log=order.log))
            if group is not None and not _moved(child, group):
                group = None
            process = ServerProcess(child, group, order.instance)
            url = _wait_ready(process, port_file, began + order.startup_timeout_s)
            notes = self.notes(order.instance, capped=group is not None or not order.capped)
            startup_s = time.monotonic() - began
            yield LocalDeployment(url, startup_s, Workers(cpus=generator_cpus), notes, process, server_cpus)

    def notes(self, instance: InstanceType, *, capped: bool = True) -> tuple[str, ...]:
        """Say how the emulation differs from the real instance type."""
        if self.fidelity(instance) == "measured":
            return tuple(self._shape_notes(instance, capped))
        general = (
            f"emulated on {self.host.cpu_model}: this CPU's clock, caches, memory bandwidth and vector "
            f"extensions, not those of {instance.instance_type}'s {instance.cpu_model or 'CPU'}; "
            "loopback instead of a network"
        )
        return (general, *self._smt_notes(instance), *self._shape_notes(instance, capped))

    def _smt_notes(self, instance: InstanceType) -> Iterator[str]:
        if instance.cores is None:
            yield f"the threads per core of {instance.instance_type} are not published"
            return
        theirs, ours = instance.vcpus // instance.cores, self.host.threads_per_core
        if theirs > ours:
            yield (
                f"{instance.instance_type} has {theirs} vCPUs on one core, here each is a core of its own: "
                "the real type is slower per vCPU"
            )
        elif theirs < ours:
            yield (
                f"each vCPU of {instance.instance_type} is a core of its own, here {ours} share one: "
                "the real type is faster per vCPU"
            )

    def _shape_notes(self, instance: InstanceType, capped: bool) -> Iterator[str]:
        if not capped:
            yield f"this system allows no memory cap: the {instance.memory_gib:g} GiB were not enforced"
        if instance.memory_gib > self.host.memory_gib:
            yield (
                f"this host has {self.host.memory_gib:g} GiB of memory, less than the "
                f"{instance.memory_gib:g} GiB of {instance.instance_type}"
            )
        if self.split(instance)[1] is None:
            yield "the load generator shared the server's cores: the numbers look worse than they are"


def _cap(order: Order) -> AbstractContextManager[MemoryCgroup | None]:
    if not order.capped:
        return nullcontext()
    return memory_cgroup(round(order.instance.memory_gib * BYTES_PER_GIB))


def catalog_architecture(host: HostFacts) -> str:
    """The host's architecture in the catalogue's words: x86_64 or arm64."""
    return ARCHITECTURES.get(host.architecture, host.architecture)


def _moved(child: Child, group: MemoryCgroup) -> bool:
    """A group may be made and yet take no process: then there is no cap, and the notes say so."""
    try:
        group.add(child.pid)
    except ServerError:
        return False
    return True


def serve_command(model: Path, candidate: Candidate, cpus: tuple[int, ...], port_file: Path) -> list[str]:
    """Give the command that serves a candidate."""
    chosen = candidate.settings.model_dump()
    settings = ServeSettings(model, port=0, port_file=port_file, cpus=cpus, **chosen)
    return python_module("modeldyno", "serve", *arguments_of(settings))


def _wait_ready(process: ServerProcess, port_file: Path, deadline: float) -> str:
    """Return the URL for requests once /ping answers 200."""
    while True:
        if reason := process.death():
            raise ServerError(f"never got ready: {reason}")
        port = _read_port(port_file)
        if port is not None and _ping(port):
            return f"http://127.0.0.1:{port}/invocations"
        if time.monotonic() > deadline:
            state = "no answer to /ping" if port is not None else "no port opened"
            raise ServerError(f"not ready in time (server.startup_timeout_s): {state}")
        time.sleep(POLL_S)


def _read_port(port_file: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(port_file.read_text())
    return None


def _ping(port: int) -> bool:
    # Not urllib: a proxy set in the environment would be asked for 127.0.0.1 as well.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PING_TIMEOUT_S)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
