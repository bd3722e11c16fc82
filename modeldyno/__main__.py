"""`python -m modeldyno` is `dyno`."""

from modeldyno.base.cli import main

main()
