"""Requests joined into one inference: in the worker, and in a real server process."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from modeldyno.base.errors import RequestError
from modeldyno.runtime.kinds import KINDS
from modeldyno.serving.dispatch.batch_check import Decision, decide, why_not_joined
from modeldyno.serving.dispatch.batching import BatchLimits, Prepare, Result, run_joined
from modeldyno.serving.models.base import ServedModel
from modeldyno.serving.wire.answer import NPY, Answer, Call
from modeldyno.serving.wire.contents import TensorCall
from tests.serving import models
from tests.serving.helpers import Reply, Server, from_npy, multiplications, npy, serving, wait_until
from tests.serving.models import loaded, verdict_of
from tests.serving.test_app import counts

X = np.eye(4, dtype=np.float32)


def prepared(**feeds: np.ndarray) -> Prepare:
    def prepare(backend: ServedModel) -> Call:
        return TensorCall(feeds, "", NPY, backend.signature.outputs)

    return prepare


def unreadable(_backend: ServedModel) -> Call:
    raise RequestError("unreadable")


def joined(
    model: Path, *prepares: Prepare, max_rows: int = 8, preferred: tuple[int, ...] = ()
) -> tuple[list[Result], list[int]]:
    """Return the results, and the rows of each inference."""
    rows: list[int] = []
    limits = BatchLimits(max_rows, preferred=preferred)
    results = run_joined(loaded(model, 1), list(prepares), limits, lambda count, _seconds: rows.append(count))
    return results, rows


def array(result: Result) -> np.ndarray:
    assert isinstance(result, Answer), repr(result)
    return from_npy(result.body)


def test_joined_requests_get_the_rows_that_they_would_get_alone(tmp_path: Path) -> None:
    sizes = (1, 3, 2)
    inputs = [np.full((size, 4), size, np.float32) for size in sizes]
    results, rows = joined(models.matmul(tmp_path / "m.onnx"), *(prepared(x=x) for x in inputs))
    assert rows == [6]
    for x, result in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(array(result), x @ models.WEIGHTS)


def test_no_inference_has_more_rows_than_allowed_but_that_of_one_request(tmp_path: Path) -> None:
    path = models.matmul(tmp_path / "m.onnx")
    results, rows = joined(path, *(prepared(x=X[:size]) for size in (2, 1, 2, 4, 1)), max_rows=3)
    assert rows == [3, 2, 4, 1]
    assert [len(array(result)) for result in results] == [2, 1, 2, 4, 1]


def test_joined_rows_have_the_preferred_sizes_and_what_is_left_runs_as_it_is(tmp_path: Path) -> None:
    path = models.matmul(tmp_path / "m.onnx")
    sizes = (1, 1, 1, 1, 1, 2)
    results, rows = joined(path, *(prepared(x=X[:size]) for size in sizes), preferred=(2, 4))
    assert rows == [4, 3]
    assert [len(array(result)) for result in results] == list(sizes)
    assert joined(path, *(prepared(x=X[:3]) for _ in range(2)), preferred=(4,))[1] == [6]


def test_the_queue_gives_the_largest_preferred_size_at_once_and_waits_below_the_smallest() -> None:
    limits = BatchLimits(8, preferred=(2, 4))
    assert [limits.largest(waiting) for waiting in (1, 2, 3, 4, 7, 8, 20)] == [None, 2, 2, 4, 4, 8, 8]
    assert [BatchLimits(8).largest(waiting) for waiting in (7, 9)] == [None, 8]


def test_only_requests_of_the_same_other_sizes_are_joined(tmp_path: Path) -> None:
    ids = [np.full((1, length), number) for number, length in enumerate((2, 5, 2))]
    results, rows = joined(models.lookup(tmp_path / "m.onnx"), *(prepared(ids=one) for one in ids))
    assert sorted(rows) == [1, 2]
    assert [array(result).tolist() for result in results] == [[[0.0] * 2], [[0.125] * 5], [[0.25] * 2]]


def test_requests_without_rows_are_answered_too(tmp_path: Path) -> None:
    results, _ = joined(models.matmul(tmp_path / "m.onnx"), prepared(x=X[:0]), prepared(x=X[:1]))
    assert [len(array(result)) for result in results] == [0, 1]


def test_a_request_that_fails_fails_alone(tmp_path: Path) -> None:
    good, bad = np.array([[1]]), np.array([[9]])
    results, rows = joined(
        models.lookup(tmp_path / "m.onnx"),
        prepared(ids=good),
        prepared(ids=bad),
        unreadable,
        prepared(ids=good),
    )
    assert rows == [1, 1]
    assert array(results[0]).tolist() == array(results[3]).tolist() == [[0.125]]
    assert isinstance(results[1], RequestError)
    assert "out of data bounds" in str(results[1])
    assert str(results[2]) == "unreadable"


def test_models_whose_rows_stand_alone_are_told_from_the_others(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    made = {
        name: why_not_joined(loaded(getattr(models, name)(path), 1))
        for name in ("matmul", "lookup", "over_rows", "relu", "picky", "pair")
    }
    assert made["matmul"] is made["lookup"] is None
    assert made["over_rows"] == "rows of 'y' are not those that they are alone: they depend on one another"
    assert made["relu"] == "'x' has the fixed shape (1, 4)"
    assert made["pair"] == "'a' has the fixed shape (2, 3)"
    assert str(made["picky"]).startswith("it fails on one or two rows of random numbers: ")


def test_a_proof_from_the_graph_joins_a_refutation_does_not_whatever_is_given(tmp_path: Path) -> None:
    def decided(path: Path, *, given: bool) -> Decision:
        return decide(loaded(path, 1), verdict_of(path), given=given)

    path = tmp_path / "m.onnx"
    assert decided(models.matmul(path), given=False).reason == "proved by its graph"
    for given in (False, True):
        refusal = decided(models.scaled(path), given=given).refusal
        assert (
            refusal
            == "that rows are independent is refuted by its graph: ReduceMax 'm': it reduces over the rows"
        )
    unproved = decided(models.custom(path), given=False).refusal
    assert unproved == (
        "that rows are independent is unproved: com.microsoft.Gelu 'y': no rule says what it does with "
        "rows. Where you know that they are, `rows_independent=True` joins requests"
    )
    assert decided(path, given=True).reason.startswith("as `rows_independent` says; unproved: com.microsoft")


def test_a_trial_of_many_kinds_of_numbers_refutes_what_a_user_says(tmp_path: Path) -> None:
    path = models.scaled(tmp_path / "m.onnx", custom=True)
    backend = loaded(path, 1)
    assert verdict_of(path).word == "unproved"
    assert why_not_joined(backend, (KINDS[1], KINDS[1])) is None  # two rows, both with a number above 1
    assert "they depend on one another" in decide(backend, verdict_of(path), given=True).refusal


def test_requests_against_the_sizes_that_a_proof_goes_by_run_alone(tmp_path: Path) -> None:
    path = models.two_lengths(tmp_path / "m.onnx")
    verdict = verdict_of(path)
    assert (verdict.word, verdict.equal) == ("proved", ((("a", 1), ("b", 1)),))
    fits = {"a": X[:1, :2], "b": X[:1, :2]}
    strange = {"a": X[:1, :2], "b": X[:1]}  # two of them would make one row of four numbers
    for feeds, expected in ((fits, [2]), (strange, [])):
        rows: list[int] = []

        def observe(count: int, _seconds: float, rows: list[int] = rows) -> None:
            rows.append(count)

        limits = BatchLimits(8, equal=verdict.equal)
        found = run_joined(loaded(path, 1), [prepared(**feeds)] * 2, limits, observe)
        assert rows == expected
        assert all(isinstance(one, Answer if expected else Exception) for one in found)


def test_shapes_that_lie_in_a_file_beside_the_model_are_read_for_the_proof(tmp_path: Path) -> None:
    assert verdict_of(models.two_lengths(tmp_path / "m.onnx", external=True)).proved


def test_what_is_not_proved_is_joined_only_where_the_user_says_so(tmp_path: Path) -> None:
    path = models.custom(tmp_path / "m.onnx")
    with serving(path, tmp_path, "--max-batch", "4", "--rows-independent") as running:
        log = running.child.log.read_text()
    assert (
        "batching: up to 4 rows, a delay of 0 ms at most; rows are independent: as `rows_independent`" in log
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Four requests of one row each leave at once, fewer after 0.3 s."""
    folder = tmp_path_factory.mktemp("batch")
    flags = ("--max-batch", "4", "--batch-delay-ms", "300")
    with serving(models.matmul(folder / "m.onnx"), folder, *flags) as running:
        yield running


def test_clients_that_come_together_are_served_together(server: Server) -> None:
    before = counts(server)
    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(lambda row: server.infer(npy(X[row % 4 :][:1]), NPY), range(8)))
    for row, reply in enumerate(replies):
        np.testing.assert_array_equal(from_npy(reply.body), models.WEIGHTS[row % 4 :][:1])
    after = counts(server)
    assert after["dyno_batch_rows_sum"] - before["dyno_batch_rows_sum"] == 8
    assert after["dyno_batch_rows_count"] - before["dyno_batch_rows_count"] < 8
    words = "batching: up to 4 rows, a delay of 300 ms at most; rows are independent: proved by its graph"
    assert words in server.child.log.read_text()


def test_a_preferred_size_leaves_without_waiting_for_more(tmp_path: Path) -> None:
    """Whoever waits for the whole delay is past the deadline."""
    flags = (
        "--max-batch",
        "8",
        "--preferred-batch",
        "2",
        "--batch-delay-ms",
        "10000",
        "--timeout-ms",
        "8000",
    )
    with (
        serving(models.matmul(tmp_path / "m.onnx"), tmp_path, *flags) as server,
        ThreadPoolExecutor(6) as clients,
    ):
        assert all(
            reply.status == 200 for reply in clients.map(lambda _: server.infer(npy(X[:1]), NPY), range(6))
        )
        assert counts(server)["dyno_batch_rows_bucket/2.0"] == counts(server)["dyno_batch_rows_count"] == 3
        assert "batching: up to 8 rows, best 2, a delay" in server.child.log.read_text()


def test_a_lone_request_and_a_bad_one_are_answered_when_the_delay_is_over(server: Server) -> None:
    assert server.infer(npy(X[:1]), NPY).status == 200
    assert "no readable npy" in server.infer(b"hello", NPY).error


def test_what_waits_to_be_joined_is_answered_before_the_server_ends(tmp_path: Path) -> None:
    flags = ("--max-batch", "4", "--batch-delay-ms", "1500")
    with (
        serving(models.matmul(tmp_path / "m.onnx"), tmp_path, *flags) as server,
        ThreadPoolExecutor(1) as client,
    ):
        reply = client.submit(server.infer, npy(X[:1]), NPY)
        wait_until(lambda: counts(server)["dyno_requests_in_flight"] == 1, 10)
        os.kill(server.child.pid, signal.SIGTERM)
        assert reply.result().status == 200
        assert server.child.process.wait(30) == 0


def test_a_model_that_can_not_be_joined_is_served_one_by_one_and_says_so(tmp_path: Path) -> None:
    with serving(models.relu(tmp_path / "m.onnx"), tmp_path, "--max-batch", "8") as server:
        assert "no batching: 'x' has the fixed shape (1, 4)\n" in server.child.log.read_text()
        assert from_npy(server.infer(npy(X[:1]), NPY).body).tolist() == X[:1].tolist()


def keep_busy(server: Server, clients: ThreadPoolExecutor, seconds: float) -> Future[Reply]:
    """Send a request that takes so long, and wait until it is there."""
    body = npy(np.array(multiplications(server, seconds=seconds)))
    reply = clients.submit(server.infer, body, NPY)
    wait_until(lambda: counts(server)["dyno_requests_in_flight"] == 1, 10)
    return reply


def test_a_request_past_the_servers_deadline_is_answered_504_whether_it_waits_or_runs(tmp_path: Path) -> None:
    with (
        serving(models.busy(tmp_path / "busy.onnx"), tmp_path, "--timeout-ms", "1000") as server,
        ThreadPoolExecutor(1) as clients,
    ):
        first = keep_busy(server, clients, 2.0)
        second = server.infer(npy(np.array(1)), NPY)
        assert (first.result().status, second.status) == (504, 504)
        assert first.result().error == "no answer within its deadline of 1000 ms: its inference still runs"
        assert "deadline of 1000 ms: not begun" in second.error
        assert counts(server)["dyno_requests_total/504"] == 2


def test_a_request_past_the_deadline_that_it_names_is_answered_504(tmp_path: Path) -> None:
    with (
        serving(models.busy(tmp_path / "busy.onnx"), tmp_path) as server,
        ThreadPoolExecutor(1) as clients,
        triton.InferenceServerClient(f"127.0.0.1:{server.port}", network_timeout=30) as client,
    ):
        first = keep_busy(server, clients, 0.5)
        number = triton.InferInput("n", [], "INT64")
        number.set_data_from_numpy(np.array(1))
        with pytest.raises(InferenceServerException, match="deadline of 1 ms: not begun") as error:
            client.infer("model", [number], timeout=1000)
        assert error.value.status() == "504"
        assert first.result().status == 200


def test_requests_of_clients_that_left_are_not_joined(tmp_path: Path) -> None:
    """One leaves while it waits for company; three come after it."""
    flags = ("--max-batch", "4")
    with (
        serving(models.matmul(tmp_path / "m.onnx"), tmp_path, *flags, "--batch-delay-ms", "2000") as server,
        ThreadPoolExecutor(3) as clients,
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as leaving:
            content = npy(X[:1])
            head = (
                f"POST /invocations HTTP/1.1\r\nContent-Type: {NPY}\r\nContent-Length: {len(content)}\r\n\r\n"
            )
            leaving.sendall(head.encode() + content)
            wait_until(lambda: counts(server)["dyno_requests_in_flight"] == 1, 10)
        wait_until(lambda: counts(server)["dyno_requests_in_flight"] == 0, 10)
        replies = list(clients.map(lambda row: server.infer(npy(X[row][None]), NPY), range(3)))
        after = counts(server)
    assert [reply.status for reply in replies] == [200] * 3
    assert (after["dyno_requests_total/gone"], after["dyno_batch_rows_sum"]) == (1, 3)
