"""A server that takes seconds for each request and never queues."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.generator.fleet import Workers
from modeldyno.loadgen.run import run_load
from tests.loadgen.stub import PAYLOAD, stub_server
from tests.loadgen.test_in_flight import reasons


@pytest.mark.parametrize("workers", [1, 2])
def test_more_than_512_requests_are_in_flight_where_the_server_takes_that_long(
    tmp_path: Path, workers: int
) -> None:
    # Each answer takes 3 s, so at 250/s there are 750 in flight.
    with stub_server(tmp_path, "--service-ms", "3000") as server:
        spec = LoadSpec(url=server.url, rate_rps=250, arrival="constant", warmup_s=3, duration_s=1)
        found = run_load(spec, PAYLOAD, workers=Workers(workers))
    assert found.held_back == 0
    assert not reasons(found.invalid_reasons)
    assert found.samples == 250
    assert found.spec.max_in_flight is not None
    assert found.spec.max_in_flight > 750
    assert found.sent_percentiles == ()
