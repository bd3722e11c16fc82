"""Processes of this machine that a load test watches: which serve a URL, what they use, on which cores."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable
from contextlib import suppress

import psutil

from modeldyno.base.errors import ConfigError
from modeldyno.loadgen.server.endpoint import host_and_port
from modeldyno.loadgen.watch.looks import GONE


def process_tree(pids: Iterable[int]) -> list[psutil.Process]:
    """The living processes among `pids` and all that descend from them."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        with suppress(*GONE):
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                found.setdefault(process.pid, process)
    return list(found.values())


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process and of its children that have ended; 0 when it is gone."""
    with suppress(*GONE):
        times = process.cpu_times()
        ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        return float(times.user + times.system + ended)
    return 0.0


def affinity(pids: Iterable[int]) -> frozenset[int]:
    """Cores that the process trees may run on; empty where the system does not tell."""
    cores: set[int] = set()
    if hasattr(os, "sched_getaffinity"):
        for process in process_tree(pids):
            with suppress(OSError):
                cores |= os.sched_getaffinity(process.pid)
    return frozenset(cores)


def named_server(pid: int) -> tuple[int, ...]:
    """The process that a user named.

    Raises:
        ConfigError: there is none with this id.
    """
    if not process_tree((pid,)):
        raise ConfigError(f"there is no process {pid} to read the server's CPU and memory of")
    return (pid,)


def find_server(url: str) -> tuple[int, ...]:
    """Processes of this machine that listen at a URL's port; of a process and its forks, only the first.

    Empty when the server is on another machine, or belongs to a user whose processes can't be seen.
    """
    host, port = host_and_port(url)
    if not is_this_machine(host):
        return ()
    with suppress(*GONE, OSError):
        pids = {
            entry.pid
            for entry in psutil.net_connections("tcp")
            if entry.status == psutil.CONN_LISTEN and entry.laddr and entry.laddr.port == port and entry.pid
        }
        # Of several processes with one socket it is told of one only: a worker, perhaps, not its parent.
        pids = {_first_listener(pid, port) for pid in pids}
        return tuple(sorted(pid for pid in pids if not _parents(pid) & pids))
    return ()


def _first_listener(pid: int, port: int) -> int:
    """Climb from a process that listens at a port to the first of its parents that does as well."""
    with suppress(*GONE, OSError):
        while (parent := psutil.Process(pid).parent()) is not None and any(
            entry.status == psutil.CONN_LISTEN and entry.laddr.port == port
            for entry in parent.net_connections("tcp")
        ):
            pid = parent.pid
    return pid


def _parents(pid: int) -> set[int]:
    with suppress(*GONE):
        return {parent.pid for parent in psutil.Process(pid).parents()}
    return set()


def is_this_machine(host: str) -> bool:
    """Whether all addresses of a host name are this machine's own."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    own = {entry.address for entries in psutil.net_if_addrs().values() for entry in entries}
    return all(address in own or ipaddress.ip_address(address.split("%")[0]).is_loopback for address in found)
