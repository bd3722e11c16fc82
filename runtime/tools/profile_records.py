"""What a profile says, with units in the names."""

from __future__ import annotations

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record
from modeldyno.runtime.records.kernels import KernelFacts
from modeldyno.runtime.records.weights import ArgumentSpec


class KernelTime(Record):
    """One kernel's calls in one inference, summed. The rates are those of the median time.

    None where the manifest has no facts of the kernel, or its operations can't be counted.
    """

    name: str
    kind: str | None
    calls: int
    p25_ms: float
    p50_ms: float
    p75_ms: float
    share_of_total: float = Field(description="of the median inference without an observer, 0 to 1")
    gflop: float | None = Field(description="useful operations of all calls of one inference, in 1e9")
    gflop_per_s: float | None
    share_of_peak: float | None = Field(description="of the measured float32 peak of peak_cores, 0 to 1")
    gb_per_s: float | None = Field(
        description="arguments read and written, each once a call, in 1e9 bytes: caches may have served them"
    )
    inputs: tuple[ArgumentSpec, ...] = ()
    outputs: tuple[ArgumentSpec, ...] = ()


class BuiltinTime(Record):
    """One of the VM's own functions: allocation, checks, views."""

    name: str
    calls: int
    p50_ms: float


class Profile(Record):
    """`dyno profile`: one artifact on one machine."""

    schema_version: int = 1
    artifact: str
    model: str
    target: str
    cpu_model: str
    threads: int
    repeats: int
    total_p25_ms: float = Field(description="of inferences without an observer, copies in and out included")
    total_p50_ms: float
    total_p75_ms: float
    kernels_p50_ms: float = Field(description="all kernels of one inference together")
    outside_kernels_ms: float = Field(description="total_p50_ms - kernels_p50_ms")
    observed_total_p50_ms: float = Field(description="of the inferences that the kernel times come from")
    observer_us_per_call: float = Field(
        description="taken off the time of a call with four tensors; others by their number"
    )
    core_peak_gflop_per_s: float | None = Field(
        description="best of the calls of the artifact's peak function, float32, one core; None in artifacts "
        "of older versions"
    )
    core_peak_p50_gflop_per_s: float | None = Field(
        description="median of those calls: where it is much lower, other load or the clock slowed this run"
    )
    peak_cores: int = Field(description="what share_of_peak counts: threads, at most the usable real cores")
    kernels: tuple[KernelTime, ...]
    builtins: tuple[BuiltinTime, ...]


def kernel_time(
    name: str,
    calls: int,
    quartiles_ms: tuple[float, float, float],
    facts: KernelFacts | None,
    *,
    total_ms: float,
    peak_gflop_per_s: float | None,
) -> KernelTime:
    """Work out the rates of one kernel from its times and the manifest's facts."""
    low, median, high = quartiles_ms
    gflop = facts.flops * calls / 1e9 if facts and facts.flops is not None else None
    # A kernel below the clock's resolution has no rate.
    rate = gflop / median * 1e3 if gflop is not None and median > 0 else None
    return KernelTime(
        name=name,
        kind=facts.kind if facts else None,
        calls=calls,
        p25_ms=low,
        p50_ms=median,
        p75_ms=high,
        share_of_total=median / total_ms,
        gflop=gflop,
        gflop_per_s=rate,
        share_of_peak=rate / peak_gflop_per_s if rate is not None and peak_gflop_per_s else None,
        gb_per_s=facts.bytes * calls / median / 1e6 if facts and median > 0 else None,
        inputs=facts.inputs if facts else (),
        outputs=facts.outputs if facts else (),
    )
