"""What a job asks of the trials, as the records that the trials read."""

from __future__ import annotations

from modeldyno.base.settings import fields_of
from modeldyno.compiler.options import Choices
from modeldyno.recommender.job.fields import shape_text
from modeldyno.recommender.job.find_rate import FindRate
from modeldyno.recommender.job.job import Job
from modeldyno.trials.measure.orders import BodyOrder, CompileOrder, SearchOrder, Workload
from modeldyno.trials.measure.sent import Sent


def compile_order(job: Job) -> CompileOrder:
    """How the job's model is compiled."""
    options = job.compile
    return CompileOrder(
        target=options.target,
        shapes={name: shape_text(shape) for name, shape in job.shapes.items()},
        tuning_records=options.tuning_records,
        **options.model_dump(include={each.name for each in fields_of(Choices)}),
    )


def body_order(job: Job) -> BodyOrder:
    """What the job's requests carry."""
    load = job.load
    return BodyOrder(
        files=load.payload,
        content_type=load.content_type,
        rows=load.rows,
        trace=load.trace,
        seed=job.seed,
    )


def search_order(how: FindRate, longest_s: float) -> SearchOrder:
    """How the job's search goes, with load tests whose windows last at most `longest_s`."""
    start_rps = None if how.start_rps == "auto" else how.start_rps
    return SearchOrder(how.precision, how.max_tests, longest_s, start_rps)


def workload(job: Job, what: Sent) -> Workload:
    """What each of the job's candidates gets; `what` are its requests."""
    load = job.load
    return Workload(
        tests=load.specs("", job.seed, bound_ms=job.limits.p99_ms, trace_rps=what.trace_rps),
        payload=what.mix,
        startup_timeout_s=job.server.startup_timeout_s,
        search=None if load.find_rate is None else search_order(load.find_rate, load.longest_s),
        limits=job.limits,
        trace_s=what.trace_s,
        compiled_with=compile_order(job).described(),
    )
