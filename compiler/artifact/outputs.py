"""The folder that an artifact is to be written into, looked at before any work is done."""

from __future__ import annotations

import tempfile
from pathlib import Path

from modeldyno.base.errors import OutputError
from modeldyno.base.files import folder_goal, mapped_output_errors, nearest_folder
from modeldyno.runtime.records.buckets import BUCKETS_NAME
from modeldyno.runtime.records.manifest import GPU_CODE_NAME, LIBRARY_NAME, MANIFEST_NAME
from modeldyno.runtime.records.segments import SEGMENTS_NAME
from modeldyno.runtime.records.weights import WEIGHTS_NAME


def check_output(output: Path) -> None:
    """Refuse a folder that can't be the artifact, before any work is done.

    Raises:
        OutputError: it is no folder, its parent can't be written, or it holds something that is no artifact.
    """
    if output.is_file():
        raise OutputError(f"{output} is a file; the output of a compile is a folder")
    with mapped_output_errors(output):
        goal = folder_goal(output)
        if goal.is_dir():
            _check_replaceable(goal)
        with tempfile.TemporaryDirectory(dir=nearest_folder(goal), prefix=".dyno-"):
            pass


def _check_replaceable(output: Path) -> None:
    """An artifact is replaced as a whole: nothing but an artifact's files may lie there."""
    found = {entry.name for entry in output.iterdir()}
    own = {MANIFEST_NAME, LIBRARY_NAME, WEIGHTS_NAME, GPU_CODE_NAME, BUCKETS_NAME, SEGMENTS_NAME}
    foreign = sorted(found - own)
    if foreign or (found and MANIFEST_NAME not in found):
        named = foreign[0] if foreign else LIBRARY_NAME
        raise OutputError(f"{output} holds files of its own ({named}): choose an empty or new folder")
