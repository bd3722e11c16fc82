"""The first inference of a session, on numbers that most models take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modeldyno.base.errors import RequestError
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.sessions.feeds import ones, zeros


def warm_up_once(run: Callable[[dict[str, Any]], object], manifest: Manifest) -> None:
    """Run on zeros; where the model refuses zeros, on ones. What only its guards refuse has run all the same.

    Raises:
        RequestError: the model refuses both.
    """
    try:
        run(zeros(manifest.inputs))
    except RequestError:
        try:
            run(ones(manifest.inputs))
        except RequestError:
            if not manifest.guards:
                raise
