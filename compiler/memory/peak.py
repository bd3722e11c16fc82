"""One small extra function of an artifact: the multiply-adds that a core can do, for `dyno profile`.

It is compiled like the kernels, so the profile's "share of peak" is the share of what this code generator
can get out of this processor's vectors, measured in the same run at the same clock. Its loop is nothing but
independent float32 multiply-adds between registers (look at the assembly: `inspect_source("asm")`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm import s_tir, te

from modeldyno.compiler.loops.marks import SCHEDULED
from modeldyno.compiler.targets.machine import Machine
from modeldyno.runtime.records.kernels import PeakKernel

if TYPE_CHECKING:
    import tvm
    from tvm import tirx
    from tvm.s_tir.schedule import SBlockRV

PEAK_NAME = "dyno_peak"
# A call takes 30 to 500 microseconds: long beside the cost of calling it, short beside a scheduler's slice.
STEPS = 1 << 16
# Registers that the two factors and the code generator take.
SPARE_REGISTERS = 4


def peak_kernel(machine: Machine) -> PeakKernel:
    """As many chains as registers hold: a multiply-add unit never waits for its own result."""
    return PeakKernel(
        function=PEAK_NAME, chains=machine.registers - SPARE_REGISTERS, lanes=machine.lanes, steps=STEPS
    )


def with_peak(module: tvm.IRModule, machine: Machine) -> tuple[tvm.IRModule, PeakKernel]:
    """Add the peak function to a module. One that only hands its inputs on has no other tensor program."""
    kernel = peak_kernel(machine)
    extended = module.clone()
    extended[PEAK_NAME] = peak_function(kernel)
    return extended, kernel


def peak_function(kernel: PeakKernel) -> tirx.PrimFunc:
    """Make the tensor program: each sum is `steps` times the product of its lane's two factors."""
    factor = te.placeholder((2, kernel.lanes), "float32", name="factor")
    step = te.reduce_axis((0, kernel.steps), "step")
    sums = te.compute(
        (kernel.chains, kernel.lanes),
        lambda _chain, lane: te.sum(factor[0, lane] * factor[1, lane], axis=step),
        name="sums",
    )
    sch = s_tir.Schedule(te.create_prim_func([factor, sums]))
    block = sch.get_sblock("sums")
    store = sch.cache_write(block, 0, "local")
    chain, lane, step_loop = sch.get_loops(block)
    sch.reorder(step_loop, chain, lane)
    for stage in (block, store):
        _in_registers(sch, stage)
    _in_registers(sch, sch.decompose_reduction(block, step_loop))
    return sch.mod["main"].with_attrs({"global_symbol": kernel.function, SCHEDULED: True})


def _in_registers(sch: s_tir.Schedule, block: SBlockRV) -> None:
    chain, lane = sch.get_loops(block)[-2:]
    sch.unroll(chain)
    sch.vectorize(lane)
