"""HTTP: connections, the application, draining."""
