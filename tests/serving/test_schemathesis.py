"""Schemathesis draws requests from /openapi.json, right and wrong ones: answers are as the document says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import models
from tests.serving.helpers import serving

# No schema says that a list holds as many numbers as the sizes beside it say, nor which sums are too large
# for a float32; what a model refuses is 424 at an endpoint of SageMaker.
EXPECTED = """
[checks]
negative_data_rejection.expected-statuses = ["4xx"]
positive_data_acceptance.expected-statuses = ["2xx", "406", "424"]

[[operations]]
include-path-regex = "/infer$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "406"]
"""


@pytest.mark.slow
def test_every_answer_is_as_the_document_says(tmp_path: Path) -> None:
    (tmp_path / "expected.toml").write_text(EXPECTED)
    with serving(models.pair(tmp_path / "pair.onnx"), tmp_path, "--max-body-mib", "1") as server:
        document = f"http://127.0.0.1:{server.port}/openapi.json"
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            "--config-file",
            "expected.toml",
            "run",
            document,
        ]
        drawn = ["--max-examples", "60", "--phases", "examples,coverage,fuzzing", "--seed", "1"]
        found = subprocess.run(
            [*command, *drawn], capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path
        )
        assert found.returncode == 0, found.stdout
        assert "Tested: 19" in found.stdout
        assert "Traceback" not in server.child.log.read_text()
