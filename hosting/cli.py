"""`dyno host`."""

from __future__ import annotations

import sys

import click

from modeldyno.base.errors import ConfigError
from modeldyno.base.flags import flags_of
from modeldyno.hosting.settings import HostSettings


@click.command("host")
@flags_of(HostSettings, "settings")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
def host_command(settings: HostSettings, command: tuple[str, ...]) -> None:
    """Answer the API of SageMaker and S3 on this machine.

    boto3 and the SDKs find it by the environment that is printed. With a COMMAND, as in
    `dyno host -- pytest tests/`, the host runs it in that environment, and ends when it ends. Models,
    configurations and endpoints are checked and kept, objects of S3 and logs too. No model server is started
    yet: docs/hosting.md has what is done. It listens on 127.0.0.1 alone, and checks no signatures. SIGTERM
    answers what was asked, then ends.

    \b
    Example:
        dyno host --port 8070 --state /tmp/host

    Exit codes: 0 ended by a signal; that of COMMAND; 2 bad input, or the state is another host's.
    """
    try:
        from modeldyno.hosting.run.start import host
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"dyno host needs {error.name}", hint="pip install 'modeldyno[hosting]' has all of it"
        ) from error
    sys.exit(host(settings, command))
