"""What runs inside the Locust process that stays up; importing a module of this folder loads gevent."""
