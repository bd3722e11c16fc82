"""The options of `dyno host`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from modeldyno.base.errors import ConfigError
from modeldyno.base.settings import Setting


def _account(text: str) -> str:
    if not re.fullmatch(r"[0-9]{12}", text):
        raise ConfigError(f"`account` {text}: expected 12 digits", field="account")
    return text


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """Where the host listens, and what it keeps."""

    port: Annotated[int, Setting("TCP port; 0 takes a free one.", least=0, most=65535)] = 8070
    port_file: Annotated[
        Path | None,
        Setting("File that gets the port number once the host listens.", absent="none", path="file"),
    ] = None
    state: Annotated[
        Path, Setting("Folder of what is kept: resources, objects, logs. One host at a time has it.")
    ] = Path("dyno-host")
    account: Annotated[str, Setting("Account number of 12 digits, in ARNs and in STS.", parse=_account)] = (
        "123456789012"
    )
