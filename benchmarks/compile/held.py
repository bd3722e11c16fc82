"""Peers held to AVX2: copies of their packages that see a system which keeps no AVX-512 registers.

A program may use AVX-512 only where the instruction `xgetbv` says that the system saves those registers
(Intel SDM volume 1, 15.2). ONNX Runtime has no setting for less, and OpenVINO's matrix products by way of
MLAS heed none. In the copies, `xgetbv` is replaced by three bytes that give 7: x87, SSE and AVX. The code is
the maker's own, and runs the code that it runs on a processor of that kind.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("onnxruntime", "openvino")
_XGETBV = b"\x0f\x01\xd0"
_SEVEN = b"\x6a\x07\x58"  # push 7; pop rax
# What stands around the instruction, so that no other place with these bytes is taken for it: the register's
# number, zero, is set before, or the upper half of its answer is moved into place behind.
_BEFORE, _BEHIND = b"\x31\xc9", b"\x48\xc1\xe2\x20"  # xor ecx, ecx; shl rdx, 32


def held_packages(folder: Path) -> tuple[str, ...]:
    """Put copies of the installed peers into `folder`, for PYTHONPATH; give the names of those held.

    One in which there is nothing to replace is not held, and not copied.
    """
    return tuple(name for name in PACKAGES if _held(name, folder))


def _held(name: str, folder: Path) -> bool:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return False
    source = Path(spec.origin).parent
    changed = {
        path: code
        for path in source.rglob("*.so*")
        if (code := without_avx512(data := path.read_bytes())) != data
    }
    if changed:
        _mirror(source, folder / name, changed)
    return bool(changed)


def without_avx512(code: bytes) -> bytes:
    """Give a library's bytes with each `xgetbv` replaced."""
    place = code.find(_XGETBV)
    while place >= 0:
        end = place + len(_XGETBV)
        if _BEFORE in code[max(0, place - 4) : place] or _BEHIND in code[end : end + 8]:
            code = code[:place] + _SEVEN + code[end:]
        place = code.find(_XGETBV, end)
    return code


def _mirror(source: Path, target: Path, changed: dict[Path, bytes]) -> None:
    """Make a folder like `source`: links, but for the changed files."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_dir():
            _mirror(path, target / path.name, changed)
        elif path in changed:
            (target / path.name).write_bytes(changed[path])
        else:
            (target / path.name).symlink_to(path)
