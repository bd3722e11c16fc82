"""CreateEndpoint, DescribeEndpoint, ListEndpoints, UpdateEndpoint, DeleteEndpoint.

Nothing starts replicas yet: an endpoint is `Failed` from the start, and says why. So waiters end at once, and
everything else of its life (describe, list, tags, delete) is as it will be.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection  # noqa: TC002 - as other types are imported

from modeldyno.hosting.control.context import CONFIG, ENDPOINT, MODEL, Context
from modeldyno.hosting.control.paging import listed, page
from modeldyno.hosting.control.resources import create, described, find, remove
from modeldyno.hosting.wire.errors import ApiError, validation

NO_REPLICAS = (
    "This version of dyno host keeps endpoints but starts no model servers yet; "
    "serve the model with `dyno serve`."
)


def create_endpoint(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Check and keep an endpoint, with copies of its configuration and models, which may be deleted first."""
    with context.database.write() as connection:
        config = find(connection, context, CONFIG, given["EndpointConfigName"]).desired
        observed = {"Status": "Failed", "FailureReason": NO_REPLICAS, "Config": config}
        observed["Models"] = _models(connection, context, config)
        return {"EndpointArn": create(connection, context, ENDPOINT, given, observed)}


def describe_endpoint(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give the desired and the observed state."""
    row = described(context, ENDPOINT, given["EndpointName"])
    return {
        "EndpointName": row.name,
        "EndpointArn": row.arn,
        "EndpointConfigName": row.desired["EndpointConfigName"],
        "EndpointStatus": row.status,
        "FailureReason": row.observed["FailureReason"],
        "CreationTime": row.created,
        "LastModifiedTime": row.modified,
    }


def list_endpoints(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give one page."""
    rows, token = page(context, ENDPOINT, given)
    shown = [
        {
            "EndpointName": row.name,
            "EndpointArn": row.arn,
            "CreationTime": row.created,
            "LastModifiedTime": row.modified,
            "EndpointStatus": row.status,
        }
        for row in rows
    ]
    return listed(shown, "Endpoints", token)


def update_endpoint(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Refuse: an endpoint that is Failed can only be deleted."""
    row = described(context, ENDPOINT, given["EndpointName"])
    raise validation(f'Cannot update endpoint "{row.arn}" in status {row.status}; only delete is possible.')


def delete_endpoint(context: Context, given: dict[str, Any]) -> None:
    """Delete, in any state."""
    remove(context, ENDPOINT, given["EndpointName"])


def refuse_invocation(context: Context, name: str) -> ApiError:
    """Say why an endpoint answers no invocation."""
    try:
        row = described(context, ENDPOINT, name)
    except ApiError:
        return ApiError("ValidationError", f"Endpoint {name} of account {context.account} not found.")
    reason = row.observed["FailureReason"]
    return ApiError("ValidationError", f"Endpoint {name} is {row.status}, not InService: {reason}")


def _models(connection: Connection, context: Context, config: dict[str, Any]) -> dict[str, Any]:
    variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
    return {
        name: find(connection, context, MODEL, name).desired
        for name in {each["ModelName"] for each in variants}
    }
