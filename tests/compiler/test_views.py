"""Reshapes behind element-wise work: by structure and by value."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from modeldyno.compiler.graph.views import sink_reshapes
from tests.compiler.relaxed import AVX512, call_counts, module, run_default, run_staged
from tests.compiler.test_kernels import normal


def between_products(builder: Any, x: Any) -> Any:
    """Two matrix products with a GELU between them, each flattened and restored, as exporters write it."""
    first, second = relax.const(normal(8, 32)), relax.const(normal(32, 16, seed=1))
    flat = builder.emit(relax.op.reshape(x, (12, 8)))
    middle = builder.emit(relax.op.reshape(builder.emit(relax.op.matmul(flat, first)), (3, 4, 32)))
    bent = builder.emit(relax.op.nn.gelu(middle))
    again = builder.emit(relax.op.reshape(bent, (12, 32)))
    return builder.emit(relax.op.reshape(builder.emit(relax.op.matmul(again, second)), (3, 4, 16)))


def test_a_gelu_between_two_products_joins_the_first() -> None:
    mod = module([(3, 4, 8)], between_products)
    assert call_counts(mod)["reshape"] == 4
    after = sink_reshapes(mod)
    assert call_counts(after) == {"reshape": 2, "matmul": 2, "nn.gelu": 1}
    data = normal(3, 4, 8, seed=2)
    np.testing.assert_allclose(
        run_staged(mod, AVX512, data)[0], run_default(mod, data)[0], rtol=1e-4, atol=1e-4
    )


def test_a_reshape_that_something_else_reads_stays_for_it() -> None:
    def body(builder: Any, x: Any) -> Any:
        view = builder.emit(relax.op.reshape(x, (6, 2)))
        return relax.Tuple([view, builder.emit(relax.op.nn.relu(view))])

    mod = module([(3, 4)], body)
    data = normal(3, 4)
    found = run_default(sink_reshapes(mod), data)
    np.testing.assert_array_equal(found[0], data.reshape(6, 2))
    np.testing.assert_array_equal(found[1], np.maximum(data, 0).reshape(6, 2))


def test_there_and_back_is_nothing() -> None:
    def body(builder: Any, x: Any) -> Any:
        there = builder.emit(relax.op.reshape(x, (12,)))
        return builder.emit(relax.op.nn.relu(builder.emit(relax.op.reshape(there, (3, 4)))))

    assert call_counts(sink_reshapes(module([(3, 4)], body))) == {"nn.relu": 1}
