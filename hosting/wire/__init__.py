"""Requests, answers, errors, limits: what clients send and read, by the service models of botocore."""
