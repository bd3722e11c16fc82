"""CreateModel, DescribeModel, ListModels, DeleteModel."""

from __future__ import annotations

from typing import Any

from modeldyno.hosting.control.context import MODEL, Context
from modeldyno.hosting.control.paging import listed, page
from modeldyno.hosting.control.resources import create, described, remove
from modeldyno.hosting.wire.errors import validation


def create_model(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Check and keep a model. The artifact is not looked at here: AWS does not either."""
    _check(given)
    with context.database.write() as connection:
        return {"ModelArn": create(connection, context, MODEL, given, {})}


def describe_model(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give what was asked for, with its time and ARN."""
    row = described(context, MODEL, given["ModelName"])
    return {
        "EnableNetworkIsolation": False,
        **row.desired,
        "CreationTime": row.created,
        "ModelArn": row.arn,
    }


def list_models(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give one page."""
    rows, token = page(context, MODEL, given)
    shown = [{"ModelName": row.name, "ModelArn": row.arn, "CreationTime": row.created} for row in rows]
    return listed(shown, "Models", token)


def delete_model(context: Context, given: dict[str, Any]) -> None:
    """Delete; endpoints keep their copy."""
    remove(context, MODEL, given["ModelName"])


def _check(given: dict[str, Any]) -> None:
    several = given.get("Containers", [])
    if ("PrimaryContainer" in given) == bool(several):
        raise validation("Provide exactly one of PrimaryContainer and Containers.")
    containers = several or [given["PrimaryContainer"]]
    for container in containers:
        _check_container(container)
    names = [each["ContainerHostname"] for each in containers if "ContainerHostname" in each]
    if names and len(names) != len(containers):
        raise validation("Either all containers of a model have a ContainerHostname, or none has.")
    if len(set(names)) != len(names):
        raise validation("The ContainerHostname of each container of a model must be unique.")
    direct = given.get("InferenceExecutionConfig", {}).get("Mode") == "Direct"
    if direct and (not names or not several):
        raise validation("InferenceExecutionConfig Direct needs Containers, each with a ContainerHostname.")
    if sum(_is_multi(each) for each in containers) > 1:
        raise validation(
            "More than one container in MultiModel mode is not supported with inference pipeline."
        )


def _check_container(container: dict[str, Any]) -> None:
    if ("Image" in container) == ("ModelPackageName" in container):
        raise validation("A container has exactly one of Image and ModelPackageName.")
    if "ModelDataUrl" in container and "ModelDataSource" in container:
        raise validation("A container has at most one of ModelDataUrl and ModelDataSource.")
    url = container.get("ModelDataUrl", "")
    if _is_multi(container) and "ModelDataSource" not in container and not url.endswith("/"):
        raise validation(f"ModelDataUrl {url!r}: in MultiModel mode it is a prefix that ends with '/'.")


def _is_multi(container: dict[str, Any]) -> bool:
    return bool(container.get("Mode") == "MultiModel")
