"""Commands over an artifact: run, inspect, profile, bundle. A bundle holds none of this."""
