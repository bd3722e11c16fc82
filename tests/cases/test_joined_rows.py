"""Requests are joined only where no row depends on another, though two rows may not show that it does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from modeldyno.serving.wire.answer import NPY
from tests.serving import models
from tests.serving.helpers import from_npy, npy, serving


def test_a_model_that_scales_by_the_largest_of_all_rows_serves_each_request_alone(tmp_path: Path) -> None:
    path = models.scaled(tmp_path / "m.onnx")
    flags = ("--max-batch", "16", "--batch-delay-ms", "5", "--rows-independent")
    with serving(path, tmp_path, *flags) as server, ThreadPoolExecutor(8) as clients:

        def ask(number: int) -> bool:
            rng = np.random.default_rng(number)
            x = rng.random((1, 4), np.float32) * (255 if number % 3 == 0 else 1)
            want = x / 255 if x.max() > 1 else x
            return np.allclose(from_npy(server.infer(npy(x), NPY, accept=NPY).body), want, rtol=1e-5)

        assert all(clients.map(ask, range(120)))
        log = server.child.log.read_text()
    assert "no batching: that rows are independent is refuted by its graph: ReduceMax 'm': it reduces" in log
