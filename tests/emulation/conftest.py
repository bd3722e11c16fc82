"""The emulator that `make test-emulated` prepares; without it these tests are skipped."""

from __future__ import annotations

import pytest

from modeldyno.compiler.check.emulation.root import PREPARE, Emulator, find_emulator

# Looked for before the tests get a cache folder of their own.
_FOUND = find_emulator()


@pytest.fixture(scope="session")
def emulator() -> Emulator:
    if _FOUND is None:
        pytest.skip(f"no emulator is prepared: `{PREPARE}`")
    return _FOUND
