from __future__ import annotations

import io
import pickle
import zipfile
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.display import print_result
from modeldyno.loadgen.payloads import files as payload_files
from modeldyno.loadgen.payloads.body import NPY, NPZ, Payload
from modeldyno.loadgen.payloads.files import Draw, Kind, Mix, read_mix
from modeldyno.loadgen.payloads.store import load_mix, save_mix
from modeldyno.loadgen.run import run_load
from tests.loadgen.stub import stub_server


def array(path: Path, rows: int = 1, columns: int = 4) -> Path:
    np.save(path, np.arange(rows * columns, dtype=np.float32).reshape(rows, columns))
    return path


def folder(path: Path) -> Path:
    """Three small samples and one large one."""
    path.mkdir()
    for number in range(3):
        array(path / f"{number}.npy")
    array(path / "large.npy", columns=400)
    (path / ".hidden").write_text("not a sample")
    return path


def test_a_file_is_one_sample_as_it_is(tmp_path: Path) -> None:
    path = array(tmp_path / "a.npy", rows=5)
    assert read_mix(str(path)) == Mix((Kind("a.npy", 1.0, (Payload(path.read_bytes(), NPY),)),))


def test_each_file_of_a_folder_is_a_sample_and_each_size_a_kind(tmp_path: Path) -> None:
    small, large = read_mix(str(folder(tmp_path / "samples"))).kinds
    assert (small.name, small.weight, len(small.bodies)) == ("samples (144 bytes)", 0.75, 3)
    assert (large.name, large.weight, len(large.bodies)) == ("samples (1728 bytes)", 0.25, 1)


def test_a_folder_of_many_sizes_is_one_kind(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(payload_files.MOST_SIZES + 1):
        (tmp_path / "many" / f"{number}.json").write_text("[" + ",".join("1" * (number + 1)) + "]")
    (kind,) = read_mix(str(tmp_path / "many")).kinds
    assert (kind.name, len(kind.bodies)) == ("many", payload_files.MOST_SIZES + 1)


def test_rows_of_arrays_are_samples_of_one_row(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", ids=np.arange(6).reshape(3, 2), mask=np.ones((3, 1), bool))
    (kind,) = read_mix(str(tmp_path / "a.npz"), rows=True).kinds
    assert len(kind.bodies) == 3
    assert {body.content_type for body in kind.bodies} == {NPZ}
    with np.load(io.BytesIO(kind.bodies[1].body), allow_pickle=False) as row:
        assert row["ids"].tolist() == [[2, 3]]
        assert row["mask"].tolist() == [[True]]
    (kind,) = read_mix(str(array(tmp_path / "b.npy", rows=2)), rows=True).kinds
    assert np.load(io.BytesIO(kind.bodies[1].body)).tolist() == [[4, 5, 6, 7]]


def test_weights_are_met_and_every_body_has_its_turn(tmp_path: Path) -> None:
    mix = read_mix(f"{array(tmp_path / 'a.npy')}=3, {folder(tmp_path / 'samples')}")
    draw = Draw(mix, seed=1)
    taken = [draw.take() for _ in range(4000)]
    counts = Counter(number for _, number in taken)
    # Shares 3 : 3/4 : 1/4, within five standard deviations.
    assert [counts[number] for number in range(3)] == pytest.approx([3000, 750, 250], abs=140)
    small = Counter(payload.body for payload, number in taken if number == 1)
    assert max(small.values()) - min(small.values()) <= 1


def test_the_same_seed_draws_the_same_bodies() -> None:
    bodies = tuple(Payload(bytes([number]), NPY) for number in range(9))
    mix = Mix((Kind("a", 1, bodies[:4]), Kind("b", 2, bodies[4:])))

    def first(seed: int) -> list[bytes]:
        draw = Draw(mix, seed)
        return [payload.body for payload, _ in islice(iter(draw.take, None), 50)]

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_a_mix_survives_its_files(tmp_path: Path) -> None:
    mix = read_mix(f"{array(tmp_path / 'a.npy')}=2,{folder(tmp_path / 'samples')}=1")
    save_mix(mix, tmp_path / "bodies", tmp_path / "index")
    assert load_mix(tmp_path / "bodies", tmp_path / "index") == mix


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("unpickled"),))


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("rows", [False, True])
def test_pickled_objects_are_refused_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, rows: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    trap = np.array([Trap()], dtype=object)
    if name == "a.npy":
        np.save(name, trap, allow_pickle=True)
    else:
        np.savez(name, x=trap)
    assert b"unpickled" in Path(name).read_bytes()
    with pytest.raises(ConfigError, match="Python objects, which are never unpickled"):
        read_mix(name, rows=rows)
    Path("raw.npy").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ConfigError, match=r"no valid application/x-npy"):
        read_mix("raw.npy", rows=rows)
    assert not Path("unpickled").exists()


def test_a_bundle_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("x.npy", bytes(257 * 2**20))
    with pytest.raises(ConfigError, match="unpacked it has more than 256 MiB"):
        read_mix(str(tmp_path / "bomb.npz"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("none.npy", "cannot read the payload none.npy"),
        ("a.npy=0", "expected PATH=WEIGHT with a weight above 0"),
        ("a.npy=much", "expected PATH=WEIGHT"),
        ("a.npy=inf", "expected PATH=WEIGHT"),
        ("a.npy=1,", "expected PATH=WEIGHT"),
        ("a.npy,a.npy", "two payloads are named a.npy"),
        ("empty", "has no files"),
        ("notes", "cannot tell the content type of notes/read.me"),
        ("deep", "is no file: a payload is a file"),
        ("cut.npy", "is cut short"),
        ("list.json", "no valid application/json"),
        ("text.npz", "no valid application/x-npz"),
    ],
)
def test_what_is_no_payload_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    array(Path("a.npy"))
    for name in ("empty", "notes", "deep", "deep/er.npy"):
        Path(name).mkdir()
    Path("notes/read.me").write_text("labels")
    Path("cut.npy").write_bytes(Path("a.npy").read_bytes()[:-1])
    Path("list.json").write_text("[1, 2")
    Path("text.npz").write_text("PK")
    with pytest.raises(ConfigError) as caught:
        read_mix(text)
    assert told in str(caught.value)


def test_arrays_without_rows_in_common_cannot_be_sent_by_row(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2)), y=np.zeros((2, 2)))
    with pytest.raises(ConfigError, match=r"no rows in common: x \[3, 2\], y \[2, 2\]"):
        read_mix(str(tmp_path / "a.npz"), rows=True)
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ConfigError, match=r"only \.npy and \.npz"):
        read_mix(str(tmp_path / "a.json"), rows=True)


def test_payloads_that_would_fill_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_files, "MAX_TOTAL_MIB", 1)
    (tmp_path / "big").mkdir()
    for number in range(2):
        (tmp_path / "big" / f"{number}.bin").write_bytes(bytes(600_000))
    with pytest.raises(ConfigError, match="at most 1 can be kept ready"):
        read_mix(str(tmp_path / "big"))
    with pytest.raises(ConfigError, match="at most 1 can be kept ready"):
        read_mix(f"{tmp_path}/big/0.bin=1,{tmp_path}/big/1.bin=1")


@given(st.binary(max_size=300), st.sampled_from([".npy", ".npz", ".json"]), st.booleans())
@settings(max_examples=300)
def test_any_bytes_are_a_payload_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str, rows: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{ending}"
    magic = b"\x93NUMPY\x01\x00" if ending == ".npy" else b""
    path.write_bytes(magic + data)
    try:
        read_mix(str(path), rows=rows)
    except ConfigError:
        return


def test_the_result_tells_the_latency_of_each_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mix = read_mix(f"{array(tmp_path / 'a.npy')}=3,{array(tmp_path / 'b.npy', columns=100)}=1")
    # The stub answers every fourth request with 500: some of each kind.
    with stub_server(tmp_path, "--cycle", "ok,ok,ok,fail", "--service-ms", "5") as server:
        result = run_load(LoadSpec(url=server.url, users=2, warmup_s=0.2, duration_s=2), mix)
    first, second = result.payload_kinds
    assert (first.name, first.share, first.bytes_min) == ("a.npy", 0.75, 144)
    assert (second.name, second.share, second.bytes_max) == ("b.npy", 0.25, 528)
    assert first.samples + second.samples == result.samples
    assert first.errors + second.errors == result.errors
    assert first.samples > second.samples > 0
    assert result.spec.payload_bytes == round(0.75 * 144 + 0.25 * 528)
    assert [entry.percentile for entry in second.percentiles] == [50, 90, 95, 99, 99.9]
    print_result(result)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("b.npy") and "25.0%" in line for line in lines)
