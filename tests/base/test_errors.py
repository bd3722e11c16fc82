"""What an error carries beside its message."""

from __future__ import annotations

import pickle

import pytest

from modeldyno.base import errors

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


def test_an_error_says_its_message_and_then_its_hint() -> None:
    error = errors.ConfigError("5 is too many", field="max_batch", hint="take `max_batch=4`")
    assert str(error) == "5 is too many: take `max_batch=4`"
    assert (error.field, error.hint) == ("max_batch", "take `max_batch=4`")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - of this very test
    assert (str(again), again.field, again.hint) == (str(error), error.field, error.hint)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_takes_a_field_and_a_hint(kind: type[errors.DynoError]) -> None:
    more = {"stage": "legalize", "target": "host"} if issubclass(kind, errors.CompileError) else {}
    error = kind("wrong", **more, field="seed", hint="leave it out")
    assert (error.field, error.hint, str(error)) == ("seed", "leave it out", "wrong: leave it out")
    plain = kind("wrong", **more)
    assert (plain.field, plain.hint, str(plain)) == (None, None, "wrong")
