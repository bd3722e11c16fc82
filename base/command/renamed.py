"""Options that had another name once: the old one goes on to work, and says what the option is called now."""

from __future__ import annotations

from typing import Any

import click

from modeldyno.base.command.console import say


class Renamed(click.Option):
    """An option with an old name that no help shows."""

    def __init__(self, *args: Any, old: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.old = old


class RenamingCommand(click.Command):
    """A command that takes old names of its options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put today's names in the place of old ones; what is behind `--` is no option."""
        names = {each.old: each.opts[0] for each in self.params if isinstance(each, Renamed)}
        end = args.index("--") if "--" in args else len(args)
        renewed = [self._renewed(text, names, ctx) for text in args[:end]]
        return super().parse_args(ctx, [*renewed, *args[end:]])

    @staticmethod
    def _renewed(text: str, names: dict[str, str], ctx: click.Context) -> str:
        name, sign, value = text.partition("=")
        if name not in names:
            return text
        if not ctx.resilient_parsing:  # as for completion
            say(f"{name} is called {names[name]} now")
        return names[name] + sign + value
