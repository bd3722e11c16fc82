"""Artifacts of several shapes: every size in a range gives the source's results, and others are refused."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from modeldyno.base.errors import ArtifactError, ConfigError, RequestError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler import compile_model
from modeldyno.runtime.artifact import read_bucket
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import LIBRARY_NAME, MANIFEST_NAME
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.records.weights import WEIGHTS_NAME
from modeldyno.runtime.sessions.buckets import BucketedSession
from modeldyno.runtime.tools.inspection import inspect_artifact, lines
from modeldyno.runtime.tools.profiler import profile
from tests.bucketed import Arrays, same, source
from tests.compiler.models import conv_net, mlp, saved
from tests.compiler.sequence_models import encoder, tokens

MOST_IMAGES, MOST_TEXTS, LONGEST = 6, 3, 8


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolutional net for 1 to 6 images."""
    folder = tmp_path_factory.mktemp("net")
    shapes = {"image": (f"1..{MOST_IMAGES}", 3, 12, 12)}
    compile_model(saved(folder / "net.onnx", conv_net("batch")), folder / "out", shapes=shapes)
    return folder / "out"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked encoder for 1 to 3 texts of 2 to 8 words: buckets 1x4, 1x8, 3x4 and 3x8."""
    folder = tmp_path_factory.mktemp("texts")
    shapes = {"input_ids": ("1..3@1|3", "2..8@4|8")}  # the mask's dimensions have the same names
    compile_model(saved(folder / "texts.onnx", encoder(mask=True)), folder / "out", shapes=shapes)
    return folder / "out"


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLP for exactly 1 or 3 rows."""
    folder = tmp_path_factory.mktemp("exact")
    compile_model(saved(folder / "mlp.onnx", mlp("rows")), folder / "out", shapes={"x": ("1|3", 8)})
    return folder / "out"


def images(count: int) -> Arrays:
    return {"image": np.random.default_rng(count).normal(size=(count, 3, 12, 12)).astype(np.float32)}


@pytest.mark.parametrize("threads", [1, 2])  # with as many as were measured with, and with others
def test_every_number_of_images_gives_the_sources_results(net: Path, threads: int) -> None:
    session, reference = open_session(net, threads), source(net.parent / "net.onnx")
    for count in [*range(1, MOST_IMAGES + 1), MOST_IMAGES + 1, 2 * MOST_IMAGES, 3 * MOST_IMAGES + 1]:
        same(session.run(images(count)), reference(images(count)))


def test_every_number_and_length_of_texts_gives_the_sources_results(texts: Path) -> None:
    session, reference = open_session(texts, 1), source(texts.parent / "texts.onnx")
    for count in range(1, MOST_TEXTS + 1):
        for length in range(2, LONGEST + 1):
            same(session.run(tokens(count, length)), reference(tokens(count, length)))


def test_every_bucket_gives_them_for_every_request_that_fits(texts: Path) -> None:
    session, reference = open_session(texts, 1), source(texts.parent / "texts.onnx")
    assert isinstance(session, BucketedSession)
    for bucket in ((1, 8), (3, 4), (3, 8)):
        # The longest first: what it leaves in the buffers must not be seen by those that are padded.
        for count, length in ((bucket[0], bucket[1]), (1, 2), (bucket[0], 3)):
            same(session.run_in(bucket, tokens(count, length)), reference(tokens(count, length)))


def test_exact_sizes_are_run_and_nothing_between_or_beyond_them(exact: Path) -> None:
    session, reference = open_session(exact, 1), source(exact.parent / "mlp.onnx")
    for rows in (1, 3):
        feeds = {"x": np.ones((rows, 8), np.float32) * rows}
        same(session.run(feeds), reference(feeds))
    for rows in (2, 4, 6):
        with pytest.raises(RequestError, match=rf"size {rows} in dimension 0 \(rows\).*takes exactly 1 or 3"):
            session.run({"x": np.ones((rows, 8), np.float32)})


ONES = np.ones((1, 3, 12, 12), np.float32)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "input 'image' is missing; the inputs are: image"),
        ({"image": ONES, "more": ONES}, "unknown input 'more'"),
        ({"image": ONES.astype(np.float64)}, "has dtype float64, expected float32"),
        ({"image": ONES[0]}, r"has shape \[3, 12, 12\], expected \[\?, 3, 12, 12\]"),
        ({"image": ONES[:, :, :5]}, r"has shape \[1, 3, 5, 12\], expected \[\?, 3, 12, 12\]"),
        ({"image": ONES[:0]}, r"size 0 in dimension 0 \(batch\); this artifact takes 1 to 6, and more in"),
    ],
)
def test_a_request_that_does_not_fit_the_signature_is_refused(net: Path, feeds: Arrays, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        open_session(net, 1).run(feeds)


def test_a_sequence_out_of_range_and_inputs_that_differ_are_refused(texts: Path) -> None:
    session = open_session(texts, 1)
    for length in (1, 9):
        with pytest.raises(RequestError, match=rf"size {length} in dimension 1 \(sequence\).*takes 2 to 8$"):
            session.run(tokens(1, length))
    with pytest.raises(
        RequestError, match=r"'attention_mask' has size 4 .*'input_ids' has 5 for the same axis"
    ):
        session.run({**tokens(2, 4), "input_ids": tokens(2, 5)["input_ids"]})


def test_many_threads_of_many_sizes_get_their_own_results(net: Path) -> None:
    session, reference = open_session(net, 1), source(net.parent / "net.onnx")
    sizes = [1, 5, 2, 7, 6, 3, 4] * 6
    with ThreadPoolExecutor(4) as pool:
        for size, found in zip(sizes, pool.map(lambda count: session.run(images(count)), sizes), strict=True):
            same(found, reference(images(size)))


def test_a_size_that_is_compiled_goes_to_its_bucket_and_nothing_is_padded_or_cut(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, reference = open_session(texts, 1), source(texts.parent / "texts.onnx")
    session.run(tokens(3, 8))

    def padded(*_: object) -> None:
        raise AssertionError("padded or cut")

    monkeypatch.setattr(BucketedSession, "_run_one", padded)
    same(session.run(tokens(3, 8, seed=1)), reference(tokens(3, 8, seed=1)))
    for shape in ((3, 7), (2, 8)):
        with pytest.raises(AssertionError, match="padded or cut"):
            session.run(tokens(*shape))
    # What is wrong there is said in the same words as for any other size.
    feeds = tokens(3, 8)
    with pytest.raises(RequestError, match="input 'attention_mask' is missing"):
        session.run({"input_ids": feeds["input_ids"]})
    with pytest.raises(RequestError, match="unknown input 'more'"):
        session.run({**feeds, "more": feeds["input_ids"]})
    with pytest.raises(RequestError, match="has dtype float64, expected int64"):
        session.run({**feeds, "input_ids": feeds["input_ids"].astype(np.float64)})


def test_equal_weights_lie_in_the_file_once(net: Path) -> None:
    manifest = read_manifest(net)
    assert manifest.weights is not None
    assert manifest.buckets is not None
    parts = [read_bucket(net, bucket) for bucket in manifest.buckets.buckets]
    own = [sum(spec.bytes for spec in part.weights.tensors) for part in parts if part.weights]
    assert len(own) == 4
    assert max(own) <= (net / WEIGHTS_NAME).stat().st_size < sum(own)
    files = sorted(str(path.relative_to(net)) for path in net.rglob("*") if path.is_file())
    buckets = [f"buckets/{size}/{name}" for size in (1, 2, 4, 6) for name in (MANIFEST_NAME, LIBRARY_NAME)]
    assert files == sorted([MANIFEST_NAME, WEIGHTS_NAME, *buckets])


def test_the_manifest_says_axes_buckets_and_what_padding_costs(texts: Path) -> None:
    manifest = read_manifest(texts)
    assert manifest.buckets is not None
    assert [(axis.name, axis.low, axis.sizes, axis.splits) for axis in manifest.buckets.axes] == [
        ("batch", 1, (1, 3), True),
        ("sequence", 2, (4, 8), False),
    ]
    found = {bucket.sizes: bucket for bucket in manifest.buckets.buckets}
    assert list(found) == [(1, 4), (1, 8), (3, 4), (3, 8)]
    assert (found[3, 8].worst_sizes, found[3, 8].padding_share) == ((2, 5), round(1 - 10 / 24, 4))
    assert all(bucket.p50_ms and bucket.flops for bucket in found.values())
    assert (manifest.buckets.measured_on, manifest.buckets.measured_threads) == (host_facts().cpu_model, 1)
    ids = manifest.inputs[0]
    assert (ids.shape, ids.limits, ids.smallest) == ((None, None), ((1, 3), (2, 8)), (1, 2))
    assert [spec.shape for spec in manifest.outputs] == [(None, None, 16), (None, 16)]
    assert manifest.parity is not None


def test_inspect_tells_the_ranges_and_each_bucket(texts: Path) -> None:
    told = "\n".join(lines(inspect_artifact(texts, host_facts())))
    assert "input_ids: int64, 1..3 x 2..8" in told
    assert "sequence (input_ids[1], attention_mask[1]): 2 to 8; compiled for 4, 8" in told
    assert "most padding 58%, at 2x5" in told
    assert "all files are whole" in told


@pytest.mark.parametrize("name", [LIBRARY_NAME, MANIFEST_NAME])
def test_a_damaged_bucket_is_found(net: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(net, tmp_path / "copy"))
    file = copy / "buckets" / "4" / name
    file.write_bytes(file.read_bytes().replace(b"e", b"f", 1))
    damage = inspect_artifact(copy, host_facts()).damage
    assert damage is not None
    assert f"buckets/4/{name} is damaged" in damage
    with pytest.raises(ArtifactError, match="is damaged"):
        open_session(copy, 1).run(images(4))


def test_the_bucket_of_another_artifact_is_refused(net: Path, exact: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(net, tmp_path / "copy"))
    shutil.copy(exact / "buckets" / "1" / MANIFEST_NAME, copy / "buckets" / "1" / MANIFEST_NAME)
    with pytest.raises(ArtifactError, match="belongs to another artifact"):
        open_session(copy, 1).run(images(1))


def test_lanes_are_lent_by_bucket(net: Path) -> None:
    session = open_session(net, 1)
    assert isinstance(session, BucketedSession)
    assert not hasattr(session, "lane")  # a lane has one shape
    with pytest.raises(ConfigError, match="no bucket 3; there are: 1, 2, 4, 6"):
        session.part((3,))
    with session.part((2,)).lane() as lane:
        assert lane.inputs["image"].shape == (2, 3, 12, 12)


def test_a_profile_is_of_one_bucket_the_largest_unless_named(texts: Path) -> None:
    small, large = (profile(texts, threads=1, repeats=5, bucket=sizes) for sizes in ((1, 4), None))
    flops = [sum(kernel.gflop or 0 for kernel in found.kernels) for found in (small, large)]
    assert 0 < 5 * flops[0] < flops[1]
    with pytest.raises(ConfigError, match="no bucket 2x4; there are: 1x4, 1x8, 3x4, 3x8"):
        profile(texts, threads=1, repeats=5, bucket=(2, 4))


def test_a_new_artifact_replaces_one_of_several_shapes(exact: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(exact, tmp_path / "copy"))
    compile_model(exact.parent / "mlp.onnx", copy, shapes={"x": (2, 8)})
    assert sorted(path.name for path in copy.iterdir()) == [MANIFEST_NAME, LIBRARY_NAME, WEIGHTS_NAME]
