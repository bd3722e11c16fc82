"""What every loaded artifact can do, whether it is one library, several shapes or several segments."""

from __future__ import annotations

from typing import Any, Protocol

from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime.records.manifest import Manifest


class AnySession(Protocol):
    """A loaded artifact. Any number of threads may run it at the same time."""

    @property
    def manifest(self) -> Manifest:
        """What the artifact says of itself."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs in the model's order."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs in the model's order."""

    @property
    def threads(self) -> int:
        """Threads inside one inference."""

    @property
    def cores(self) -> tuple[int, ...]:
        """The cores that these are pinned to; none where they are not."""

    @property
    def most_rows(self) -> int | None:
        """The number of rows up to which every number is taken; None where there is no bound."""

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Rows that it is compiled for, where the first axis is left open."""

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Run one inference on named arrays; the result's arrays are the caller's own.

        Raises:
            RequestError: an input is missing, unknown, no array, or of another shape or dtype; or what it
                holds is refused: an index out of range, a divisor of 0.
        """

    def warm_up(self) -> int:
        """Run one inference on zeros in each compiled shape; give how many that were.

        Where the model refuses zeros, on ones. What only its guards refuse has run all the same.

        Raises:
            RequestError: the model refuses both.
        """
