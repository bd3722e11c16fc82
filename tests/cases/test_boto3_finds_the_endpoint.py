"""boto3's own call goes to /endpoints/NAME/invocations, and reads `message` of an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.serving.helpers import serving
from tests.serving.test_boto3 import client_of

SCRIPT = """
def model_fn(d): return 0
def input_fn(b, c): return 0
def predict_fn(d, m): return 1
"""


def test_boto3_gets_the_answer_of_user_code_and_the_message_of_an_error(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(SCRIPT)
    with serving(tmp_path, tmp_path) as server:
        client = client_of(server.port)
        found = client.invoke_endpoint(EndpointName="model", ContentType="application/json", Body="0")
        assert found["Body"].read() == b"1"
        with pytest.raises(ClientError, match="Endpoint no-such not found: this server has model"):
            client.invoke_endpoint(EndpointName="no-such", ContentType="application/json", Body="0")
        client.close()
