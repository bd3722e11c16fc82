"""What a process, a GPU, a machine and Locust's workers used while a load test ran."""

from __future__ import annotations

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record


class ResourceUsage(Record):
    """CPU and memory of a process and its children over the measured window."""

    cpu_cores_mean: float = Field(description="cores kept busy on average, e.g. 1.7")
    memory_mib_max: float = Field(description="highest resident set of the process tree")
    samples: int
    rss_mib_max: float | None = Field(default=None, description="highest sum of resident sets")
    pss_mib_max: float | None = Field(
        default=None, description="highest sum of proportional shares; None: the system does not tell"
    )
    threads_max: int | None = Field(default=None, description="most threads of all processes together")
    voluntary_switches: int | None = Field(default=None, description="threads that gave up their core")
    involuntary_switches: int | None = Field(default=None, description="threads that were taken off it")


class GpuUsage(Record):
    """A GPU of the load generator's machine over the measured window, whoever used it."""

    name: str
    busy_share_mean: float | None = Field(description="share of time in which a kernel ran, 0 to 1")
    memory_mib_max: float | None
    power_w_mean: float | None
    samples: int


class MachineUsage(Record):
    """The load generator's machine over the measured window."""

    core_busy: tuple[float, ...] = Field(description="share of time that each core was busy, 0 to 1")
    other_cores_mean: float = Field(description="cores kept busy by neither server nor generator")
    stolen_share: float = Field(description="of all CPU time: what the hypervisor gave to other machines")
    gpus: tuple[GpuUsage, ...] = ()


class Spread(Record):
    """Times that something took, in milliseconds."""

    samples: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    histogram: str = Field(description="HDR histogram in microseconds, V2 compressed, base64")


class WorkerUsage(Record):
    """One process of the load generator over the measured window, by its own clock."""

    worker: int = Field(description="from 1")
    host: str
    pid: int
    requests: int = Field(description="requests of the window that it sent")
    cpu_cores_mean: float | None = Field(description="of the one core that it can use")
    awake_cores_mean: float | None = Field(
        default=None, description="open loop: the part of it that was kept awake for an arrival that was near"
    )
    lateness: Spread | None = Field(description="open loop: how late it sent")
    loop_lag: Spread | None = Field(description="how late its event loop woke what was due")
