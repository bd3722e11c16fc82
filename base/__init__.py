"""What every room shares: errors, records, units, host facts, child processes and the `dyno` command."""
