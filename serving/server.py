"""A model server: one process that runs the models, or several that another one watches."""

from __future__ import annotations

import re

from modeldyno.base.command.console import say
from modeldyno.base.errors import ConfigError
from modeldyno.serving.models.files import model_kind
from modeldyno.serving.process.listening import bind, listen
from modeldyno.serving.process.shares import pin
from modeldyno.serving.settings import ServeSettings


def serve(settings: ServeSettings) -> None:
    """Serve models until SIGTERM or SIGINT. Call it from the main thread of a process of its own.

    Raises:
        ConfigError: the address can't be listened on, this machine has no such cores, or a name is no name.
        ModelError, ArtifactError: a model can't be loaded, or fails its first inference.
        ServerError: one of several processes can't be started; the message says why.
        OutputError: the port file can't be written.
    """
    _check_names(settings)
    _check_batches(settings)
    for model in settings.models:
        model_kind(model.path)  # what can be told fast is told first
    pin(settings.cpus)
    with bind(settings.host, settings.port) as listener:
        if settings.processes > 1:
            from modeldyno.serving.process.supervisor import serve_processes

            serve_processes(settings, listener, lambda: listen(settings, listener))
        else:
            from modeldyno.serving.meters.board import Member, board_alone
            from modeldyno.serving.process.host import serve_here

            serve_here(settings, listener, Member(board_alone()))
            say("stopped")


def _check_names(settings: ServeSettings) -> None:
    names = [model.name for model in settings.models]
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", name):
            raise ConfigError(
                f"`model_name` {name}: expected letters, digits, dots, dashes and underscores",
                field="model_name",
            )
        if names.count(name) > 1:
            raise ConfigError(f"{names.count(name)} models have the name {name}: each needs one of its own")


def _check_batches(settings: ServeSettings) -> None:
    sizes = settings.preferred_batch
    if any(not 1 <= size <= settings.max_batch for size in sizes):
        raise ConfigError(
            f"`preferred_batch` {','.join(map(str, sizes))}: expected sizes from 1 to `max_batch`, "
            f"which is {settings.max_batch}",
            field="preferred_batch",
        )
