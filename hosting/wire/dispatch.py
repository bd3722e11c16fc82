"""Which service and which operation a request is for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modeldyno.hosting.wire.errors import Form
from modeldyno.hosting.wire.messages import Head

DEFAULT_REGION = "us-east-1"
_TARGETS = {
    "SageMaker": "sagemaker",
    "GraniteServiceVersion20100801": "cloudwatch",
    "Logs_20140328": "logs",
    "AnyScaleFrontendService": "application-autoscaling",
}
_VERSIONS = {"2011-06-15": "sts", "2010-05-08": "iam", "2010-08-01": "cloudwatch", "2010-03-31": "sns"}
_SIGNED_AS = {"monitoring": "cloudwatch"}
_RUNTIME = re.compile(r"/endpoints/([^/]+)/(invocations|async-invocations|invocations-response-stream)")
_OPERATIONS = {
    "invocations": "InvokeEndpoint",
    "async-invocations": "InvokeEndpointAsync",
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
}
_SCOPE = re.compile(r"Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}")


@dataclass(frozen=True)
class Scope:
    """What a signature says of itself; '' where there is none. Signatures are not checked."""

    region: str
    service: str
    key: str = ""


@dataclass(frozen=True)
class Call:
    """Where a request goes. `operation` is '' where the body or the path says it."""

    service: str
    operation: str
    form: Form
    region: str
    json_version: str = "1.1"


def scope_of(head: Head) -> Scope:
    """Read the scope of the header or of a presigned URL."""
    credential = head.query.get("X-Amz-Credential", "")
    text = head.headers.get("authorization", "") or (f"Credential={credential}" if credential else "")
    found = _SCOPE.search(text)
    if found is None:
        return Scope(DEFAULT_REGION, "")
    region = found[3] if REGION.fullmatch(found[3]) else DEFAULT_REGION
    return Scope(region, found[4], found[1])


def call_of(head: Head) -> Call:
    """Choose: by target, by path, by form; else it is for S3."""
    scope = scope_of(head)
    if scope.service == "s3":
        return Call("s3", "", Form.S3, scope.region)
    target = head.headers.get("x-amz-target", "")
    if target and head.method == "POST":
        prefix, _, name = target.partition(".")
        kind = head.headers.get("content-type", "")
        return Call(
            _TARGETS.get(prefix, prefix),
            name,
            Form.JSON,
            scope.region,
            "1.0" if "json-1.0" in kind else "1.1",
        )
    runtime = _RUNTIME.fullmatch(head.path)
    if runtime and head.method == "POST":
        return Call("sagemaker-runtime", _OPERATIONS[runtime[2]], Form.JSON, scope.region)
    form = head.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if head.method == "POST" and head.path == "/" and form:
        return Call(_SIGNED_AS.get(scope.service, scope.service), "", Form.QUERY, scope.region)
    return Call("s3", "", Form.S3, scope.region)


def service_of(signed_as: str, form: dict[str, str]) -> str:
    """Choose a query service: by the signature, else by the version in the form."""
    return signed_as or _VERSIONS.get(form.get("Version", ""), "")
