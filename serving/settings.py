"""How to serve models: the options of `dyno serve`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from modeldyno.base.errors import ConfigError
from modeldyno.base.host.cores import core_numbers
from modeldyno.base.records.server import Concurrency, ServerLimits
from modeldyno.base.settings import Setting


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if text)
    except ValueError as error:
        raise ConfigError(
            f"`preferred_batch` {text}: expected numbers of rows with commas, e.g. 4,8",
            field="preferred_batch",
        ) from error


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server listens."""

    host: Annotated[str, Setting("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Setting("TCP port; 0 takes a free one.", least=0, most=65535)] = 8080
    port_file: Annotated[
        Path | None,
        Setting("File that gets the port number once the server listens.", absent="none", path="file"),
    ] = None


@dataclass(frozen=True)
class NamedModel:
    """A model by the name that it is served under."""

    name: str
    path: Path


@dataclass(frozen=True)
class ServeSettings(ServerLimits, Concurrency, Address):
    """How to serve models; what a job chooses too is in base.records.server.

    Workers, queue and batches are those of each model.
    """

    path: Annotated[Path, Setting("Artifact folder, .onnx file, or folder of user code.", argument=True)]
    model_name: Annotated[
        str, Setting("Name in /v2/models/NAME: letters, digits, dots, dashes and underscores.")
    ] = "model"
    cpus: Annotated[
        tuple[int, ...] | None,
        Setting("Cores to stay on, e.g. 0,1.", absent="all usable ones", parse=core_numbers),
    ] = None
    max_body_mib: Annotated[int, Setting("Largest request body, in MiB; the unpacked size too.", least=1)] = (
        64
    )
    preferred_batch: Annotated[
        tuple[int, ...],
        Setting(
            "Rows that joined requests should make, e.g. 4,8.",
            absent="what the artifact prefers, if it does",
            parse=_sizes,
        ),
    ] = ()
    client_timeout_s: Annotated[
        float,
        Setting(
            "Seconds that a client may take to send a request (else it is answered 408) or read its answer.",
            above=0,
            flag="--client-timeout",
            old="--client-timeout-s",
        ),
    ] = 60.0
    more_models: tuple[NamedModel, ...] = ()
    """Models beside that of `path`, in the same processes; no flag has them yet."""

    @property
    def models(self) -> tuple[NamedModel, ...]:
        """All models; the first is meant where a protocol has no names."""
        return (NamedModel(self.model_name, self.path), *self.more_models)
