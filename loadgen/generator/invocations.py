"""POST /invocations again and again: the locustfile of a load test.

Two ways to run it. `loadgen.run.run_load` starts it with a plan in DYNO_LOAD_PLAN: the users time and
record every request themselves (what counts, and where, is said in loadgen.stats.recording) and end the run.
Started by hand,

    locust -f loadgen/locustfiles/invocations.py --host http://127.0.0.1:8080

it is an ordinary locustfile with Locust's own web page, users and statistics. The bodies then come from the
files that DYNO_LOAD_PAYLOAD names as `dyno load --payload` does (their content type from the ending, or from
DYNO_LOAD_CONTENT_TYPE), or are made for the model's inputs as the server declares them.

Several processes: Locust's master has the plan and hands it to its workers (loadgen.generator.master and
worker), which are told apart by DYNO_LOAD_WORKER.

Open loop: a free user takes the next arrival of the shared schedule, sleeps until it is due and sends at
once; so some users are always asleep ahead of time. When few are, the pool grows, up to the plan's bound;
beyond that, arrivals wait for a free one, the wait counts in their latency, and the test is void.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import gevent
from locust import events, task
from locust.exception import StopUser

from modeldyno.base.command.console import one_line
from modeldyno.base.errors import DynoError, LoadTestError
from modeldyno.loadgen.generator.control import Run
from modeldyno.loadgen.generator.master import Conductor
from modeldyno.loadgen.generator.precise import spin_ns, wait_until
from modeldyno.loadgen.generator.run_plan import SPARE_USERS, WORKER_VARIABLE, Plan, plan_from_environment
from modeldyno.loadgen.generator.settle import settle_in
from modeldyno.loadgen.generator.wire.sender import NS_PER_S, Sender, now_ns
from modeldyno.loadgen.generator.worker import WorkerEnd
from modeldyno.loadgen.payloads.body import Payload, payload_for
from modeldyno.loadgen.payloads.files import MIXED, Draw, Mix, read_mix, single
from modeldyno.loadgen.server.endpoint import INVOCATIONS, endpoint_url
from modeldyno.loadgen.server.signature import fetch_signature
from modeldyno.loadgen.stats.recording import FailureKind

NS_PER_MS = 1_000_000
UNSENT = FailureKind(None, "unsent", "not sent: no connection was free within the timeout")


def _prepare_worker(folder: str) -> WorkerEnd:
    settle_in(folder)
    return WorkerEnd(Path(folder))


def _prepare_process(plan: Plan) -> Run:
    """Make this process what the plan asks for."""
    settle_in(plan.folder)
    if plan.cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, plan.cpus)
    return Run(plan)


PLAN = plan_from_environment()
RUN = _prepare_process(PLAN) if PLAN else None
WORKER = _prepare_worker(os.environ[WORKER_VARIABLE]) if WORKER_VARIABLE in os.environ else None


class PlannedUser(Sender):
    """Part of a planned run."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        course = WORKER.run() if WORKER else RUN
        assert course is not None  # noqa: S101 - only planned runs have such users
        self.course: Run = course
        self.timeout_s = course.spec.timeout_s
        self.expected, self.follows = course.expected, course.spec.follow_redirects
        super().__init__(environment)

    def on_start(self) -> None:
        """Wait until all are there."""
        self.course.wait_for_start()


class ClosedLoopUser(PlannedUser):
    """Sends, waits for the answer, sends again."""

    abstract = WORKER is None and (
        PLAN is None or PLAN.spec.rate_rps is not None or PLAN.spec.samples_per_query > 1
    )

    @task
    def invoke(self) -> None:
        """One request."""
        course, start_ns = self.course, now_ns()
        if course.crowd is not None and course.crowd.leaves():
            raise StopUser
        course.recorder.begin(start_ns)
        payload, kind = course.draw.take()
        request = self.prepare(course.spec.url, payload)
        ended_ns, failure = self.send(request, start_ns + course.timeout_ns)
        course.finish(start_ns, ended_ns, failure, kind=kind, status=self.status)


class MultiStreamUser(PlannedUser):
    """Sends several samples at once, each over its own connection; the query ends with the last answer."""

    abstract = PLAN is None or PLAN.spec.samples_per_query == 1

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        PlannedUser.host = self.host
        self.lanes = [PlannedUser(environment) for _ in range(self.course.spec.samples_per_query)]

    @task
    def invoke(self) -> None:
        """One query."""
        course, start_ns = self.course, now_ns()
        course.recorder.begin(start_ns)
        end_by_ns, taken = start_ns + course.timeout_ns, [course.draw.take() for _ in self.lanes]
        sent = [
            gevent.spawn(lane.send, lane.prepare(course.spec.url, payload), end_by_ns)
            for lane, (payload, _) in zip(self.lanes, taken, strict=True)
        ]
        answers = [greenlet.get() for greenlet in sent]
        failure = next((failure for _, failure in answers if failure), None)
        kinds = {kind for _, kind in taken}
        kind = kinds.pop() if len(kinds) == 1 else MIXED
        ended_ns, status = max(ended_ns for ended_ns, _ in answers), max(lane.status for lane in self.lanes)
        course.finish(start_ns, ended_ns, failure, kind=kind, status=status)


class OpenLoopUser(PlannedUser):
    """Sends what is due, whether or not earlier answers have come."""

    abstract = WORKER is None and (PLAN is None or PLAN.spec.rate_rps is None)
    coming = 0
    """Users that are being started."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.early_ns = spin_ns((self.course.spec.rate_rps or 0.0) / self.course.plan.share[1])

    @task
    def invoke(self) -> None:
        """One arrival."""
        course = self.course
        due_ns, free_ns = course.take_arrival(), now_ns()
        payload, kind = course.draw.take()
        # Where others hold arrivals, connections are free: then it is the process that is late.
        full = not course.waiting and self.environment.runner.user_count >= course.plan.pool
        held_back = full and free_ns > due_ns
        course.recorder.arrive(due_ns, held_back=held_back)
        course.recorder.begin(due_ns)
        request = self._when_due(due_ns, payload)
        sent_ns, end_by_ns = now_ns(), due_ns + course.timeout_ns
        wait_ns = free_ns - due_ns if held_back else 0
        lag_ns = sent_ns - due_ns - wait_ns
        if sent_ns >= end_by_ns:
            course.finish(due_ns, sent_ns, UNSENT, kind=kind, lag_ns=lag_ns)
            return
        ended_ns, failure = self.send(request, end_by_ns)
        course.finish(
            due_ns, ended_ns, failure, kind=kind, lag_ns=lag_ns, wait_ns=wait_ns, status=self.status
        )

    def _when_due(self, due_ns: int, payload: Payload) -> list[bytes]:
        """Sleep until then; give the request, ready to be sent."""
        if due_ns > now_ns():
            self.course.waiting[self] = due_ns
        request = wait_until(due_ns, self.early_ns, lambda: self.prepare(self.course.spec.url, payload))
        self.course.waiting.pop(self, None)
        room = self.course.plan.pool - self.environment.runner.user_count - self.coming
        missing = SPARE_USERS - len(self.course.waiting) - self.coming
        if missing > 0 and room > 0:
            OpenLoopUser.coming += min(missing, room)
            gevent.spawn(self._grow, min(missing, room))  # runs once this user waits for its answer
        return request

    def _grow(self, users: int) -> None:
        self.environment.runner.spawn_users({OpenLoopUser.__name__: users})
        OpenLoopUser.coming -= users


class PlainUser(Sender):
    """An ordinary Locust user, for runs started by hand."""

    abstract = PLAN is not None or WORKER is not None
    draw: Draw | None = None

    def on_start(self) -> None:
        """Find out what to send."""
        try:
            PlainUser.draw = PlainUser.draw or Draw(_mix_by_hand(str(self.host)), seed=0)
        except DynoError as error:
            self.environment.process_exit_code = error.exit_code
            logging.getLogger(__name__).error("%s", error)
            self.environment.runner.quit()
            raise StopUser from error

    @task
    def invoke(self) -> None:
        """One request, told to Locust's statistics."""
        assert self.draw is not None  # noqa: S101 - set by on_start
        payload, _ = self.draw.take()
        start_ns = now_ns()
        url = endpoint_url(str(self.host).rstrip("/") + INVOCATIONS)
        request = self.prepare(url, payload)
        ended_ns, failure = self.send(request, start_ns + int(self.timeout_s * NS_PER_S))
        self.environment.events.request.fire(
            request_type="POST",
            name=INVOCATIONS,
            response_time=(ended_ns - start_ns) / NS_PER_MS,
            response_length=0,
            exception=LoadTestError(one_line(failure.message)) if failure else None,
            context={},
        )


def _mix_by_hand(host: str) -> Mix:
    path = os.environ.get("DYNO_LOAD_PAYLOAD")
    if path:
        return read_mix(path, os.environ.get("DYNO_LOAD_CONTENT_TYPE"))
    return single(payload_for(fetch_signature(endpoint_url(host.rstrip("/") + INVOCATIONS)), seed=0))


if RUN is not None:
    course = RUN

    @events.init.add_listener
    def _when_ready(environment: Any, **_: Any) -> None:
        if course.plan.workers > 1:
            conductor = Conductor(environment, course.plan)

        @environment.events.spawning_complete.add_listener
        def _control(**_: Any) -> None:
            if course.plan.workers > 1:
                gevent.spawn(conductor.conduct)
            else:
                gevent.spawn(course.control, environment)

elif WORKER is not None:
    events.init.add_listener(WORKER.attach_to)
