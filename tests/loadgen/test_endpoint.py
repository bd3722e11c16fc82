from __future__ import annotations

import pytest

from modeldyno.base.errors import ConfigError, LoadTestError
from modeldyno.loadgen.server.endpoint import check_listening, endpoint_url, host_and_port, server_root


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/invocations"),
        ("http://host", "http://host/invocations"),
        ("https://host:1/", "https://host:1/invocations"),
        ("http://host/v1/predict?x=1#top", "http://host/v1/predict?x=1"),
        ("[::1]:8080", "http://[::1]:8080/invocations"),
    ],
)
def test_what_a_user_leaves_out_is_filled_in(text: str, url: str) -> None:
    assert endpoint_url(text) == url


@pytest.mark.parametrize(
    "text", ["", "ftp://host", "http://", "host:port", "host:70000", "http://me:pw@host"]
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        endpoint_url(text)


def test_root_and_port_of_a_url() -> None:
    assert server_root("http://host:1/a/invocations") == "http://host:1/a"
    assert server_root("http://host:1/predict") == "http://host:1"
    assert host_and_port("https://host/x") == ("host", 443)
    assert host_and_port("http://[::1]/x") == ("::1", 80)


def test_a_name_that_nobody_knows_is_said_so() -> None:
    with pytest.raises(LoadTestError, match=r"cannot resolve 'no-such-host.invalid'"):
        check_listening("http://no-such-host.invalid/invocations")
