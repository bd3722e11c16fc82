"""The locustfile of a generator that stays up, for `locust -f`."""

from locust import events

from modeldyno.loadgen.standing.inside.floor import open_floor
from modeldyno.loadgen.standing.inside.users import StandingUser

__all__ = ["StandingUser"]

events.init.add_listener(open_floor)
