"""The locustfile of a load test, for `locust -f`; see `loadgen.generator.invocations`."""

from modeldyno.loadgen.generator.invocations import ClosedLoopUser, MultiStreamUser, OpenLoopUser, PlainUser

__all__ = ["ClosedLoopUser", "MultiStreamUser", "OpenLoopUser", "PlainUser"]
