"""What runs inside Locust. Importing a module of this folder loads gevent, so nothing outside it does."""
