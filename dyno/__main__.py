"""`python -m dyno` is `dyno`."""

from dyno.cli import main

main()
