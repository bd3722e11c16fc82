"""Who asks, and what is asked of."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modeldyno.hosting.state.database import Database


@dataclass(frozen=True)
class Context:
    """The state and the account and region of one request."""

    database: Database
    account: str
    region: str


@dataclass(frozen=True)
class Kind:
    """A kind of resource: its part of the ARN, its words in messages, and the member of its name."""

    part: str
    words: str
    member: str

    def arn(self, context: Context, name: str) -> str:
        """Give the ARN; the name stands there in small letters."""
        return f"arn:aws:sagemaker:{context.region}:{context.account}:{self.part}/{name.lower()}"


MODEL = Kind("model", "model", "Model")
CONFIG = Kind("endpoint-config", "endpoint configuration", "EndpointConfig")
ENDPOINT = Kind("endpoint", "endpoint", "Endpoint")
KINDS = {kind.part: kind for kind in (MODEL, CONFIG, ENDPOINT)}
ARN = re.compile(r"arn:aws:sagemaker:(?P<region>[^:]+):(?P<account>\d{12}):(?P<part>[^/]+)/(?P<name>.+)")
