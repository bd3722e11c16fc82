"""The `dyno` command, and what its subcommands share."""
