"""Load tests of an inference endpoint with Locust: closed and open loop, exact latencies, error bars.

    from modeldyno.loadgen.run import run_load
    result = run_load(LoadSpec(url=..., users=4), payload)

Locust runs in a child process and only there: importing this package never loads gevent.
"""
