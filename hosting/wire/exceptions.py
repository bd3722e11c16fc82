"""Where the service model of botocore says too little, or other than AWS does: each with its source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """What replaces the model's limits of one shape. None: the model's value stays.

    choices: the only values. source: where it is written.
    """

    shape: str
    source: str
    least: float | None = None
    most: float | None = None
    choices: tuple[int, ...] | None = None


RULES = (
    Rule(
        "BodyBlob",
        "AWS: real-time inference, payload of 25 MB; the service model still says 6,291,456",
        most=26_214_400,
    ),
    Rule(
        "ServerlessMemorySizeInMB",
        "AWS: CreateEndpointConfig, ServerlessConfig: 1 to 6 GB in steps of 1 GB",
        choices=(1024, 2048, 3072, 4096, 5120, 6144),
    ),
)
BY_SHAPE = {rule.shape: rule for rule in RULES}
