"""The process `dyno host`, and the command that it runs."""
