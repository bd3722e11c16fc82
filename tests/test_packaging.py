"""One name is installed: `modeldyno`. The rooms are folders at the root, and links below that name."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import pytest

import modeldyno
from tests.rooms import ROOMS, ROOT


def declared() -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def test_each_room_is_a_folder_at_the_root_and_a_link_below_the_one_name() -> None:
    for room in ROOMS:
        link = ROOT / "modeldyno" / room
        assert link.is_symlink()
        assert link.readlink() == Path("..") / room
        assert (ROOT / room / "py.typed").is_file()


def test_the_name_is_imported_from_this_checkout() -> None:
    assert Path(str(modeldyno.__file__)).parent == ROOT / "modeldyno"
    assert version("modeldyno") == declared()["version"]


def test_what_users_import_is_there_and_loaded_when_first_used() -> None:
    assert modeldyno.__all__ == ["GateOptions", "Options", "Session", "compile_model", "judge", "recommend"]
    code = (
        "import modeldyno, sys; light = set(sys.modules); import modeldyno as m\n"
        "heavy = {'tvm', 'torch', 'numpy', 'pydantic', 'pandas', 'onnxruntime'}\n"
        "assert not heavy & light, heavy & light\n"
        "assert all(callable(getattr(m, name)) for name in m.__all__)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        modeldyno.nothing  # noqa: B018


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_inside_imports_the_front_door(room: str) -> None:
    front = re.compile(
        r"^\s*(import modeldyno\b(?!\.)|from modeldyno import (?!" + "|".join(ROOMS) + r"))", re.M
    )
    found = [path.name for path in (ROOT / room).rglob("*.py") if front.search(path.read_text("utf-8"))]
    assert found == []


def sources(names: Iterable[str]) -> set[str]:
    """Names of an archive's files below the one name, without the folder that a source archive has around."""
    return {
        name[name.index("modeldyno/") :] for name in names if "modeldyno/" in f"/{name}" and name[-1] != "/"
    }


@pytest.mark.slow
def test_wheel_and_source_archive_hold_each_file_of_each_room(tmp_path: Path) -> None:
    # hatchling visits a linked folder once: without care, whole rooms are left out of the source archive.
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir"]
    subprocess.run([*build, str(tmp_path / "a"), str(ROOT)], check=True, timeout=300)
    sdist = [sys.executable, "-c", "import hatchling.build as b, sys; print(b.build_sdist(sys.argv[1]))"]
    pytest.importorskip("hatchling")
    subprocess.run([*sdist, str(tmp_path)], check=True, cwd=ROOT, timeout=300)
    archive = next(tmp_path.glob("*.tar.gz"))
    subprocess.run([*build, str(tmp_path / "b"), str(archive)], check=True, timeout=300)
    listed = {
        f"modeldyno/{path.relative_to(ROOT)}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    } | {f"modeldyno/{name}" for name in ("__init__.py", "__main__.py", "py.typed")}
    listed |= {f"modeldyno/docs/{path.name}" for path in (ROOT / "docs").iterdir()}
    wheels = []
    for folder in ("a", "b"):
        with zipfile.ZipFile(next((tmp_path / folder).glob("*.whl"))) as wheel:
            wheels.append(wheel.namelist())
            assert {name.partition("/")[0] for name in wheel.namelist() if ".dist-info" not in name} == {
                "modeldyno"
            }
    with tarfile.open(archive) as packed:
        members = [f"x/{each.name.partition('/')[2]}" for each in packed if each.isfile()]
    assert sources(wheels[0]) == sources(wheels[1]) == listed
    assert sources(name[2:] for name in members) == listed


@pytest.mark.slow
def test_the_installed_wheel_compiles_in_an_empty_environment_beside_a_users_own_rooms(
    tmp_path: Path,
) -> None:
    from tests.compiler.models import add_net, saved

    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    constraints = ("--constraint", str(ROOT / "constraints.txt"))
    install = (str(python), "-m", "pip", "install", "--quiet", *constraints, str(ROOT))
    subprocess.run(install, check=True, timeout=540)
    for name in ("compiler", "runtime", "base"):  # a user's own, which end whoever imports them
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "__init__.py").write_text("raise SystemExit('the user's own was run')\n")
    net = saved(tmp_path / "net.onnx", add_net())
    dyno = str(tmp_path / "env" / "bin" / "dyno")
    page = subprocess.run([dyno, "docs", "job"], check=True, cwd=tmp_path, timeout=60, capture_output=True)
    assert "The job file of dyno recommend" in page.stdout.decode()
    subprocess.run(
        [dyno, "compile", str(net), "-o", str(tmp_path / "artifact")],
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "own")},
        cwd=tmp_path / "own",
        timeout=300,
    )
