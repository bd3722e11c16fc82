"""`python -m modeldyno` is `dyno`."""

from modeldyno.base.command.cli import main

main()
