"""CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection  # noqa: TC002 - as other types are imported

from modeldyno.hosting.control.context import CONFIG, MODEL, Context
from modeldyno.hosting.control.paging import listed, page
from modeldyno.hosting.control.resources import create, described, find, remove
from modeldyno.hosting.wire.errors import validation


def create_endpoint_config(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Check and keep a configuration; its models must exist."""
    _check(given)
    with context.database.write() as connection:
        for variant in _variants(given):
            _check_model(connection, context, given, variant)
        _with_defaults(given)
        return {"EndpointConfigArn": create(connection, context, CONFIG, given, {})}


def describe_endpoint_config(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give what was asked for, with its time and ARN."""
    row = described(context, CONFIG, given["EndpointConfigName"])
    return {**row.desired, "CreationTime": row.created, "EndpointConfigArn": row.arn}


def list_endpoint_configs(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    """Give one page."""
    rows, token = page(context, CONFIG, given)
    shown = [
        {"EndpointConfigName": row.name, "EndpointConfigArn": row.arn, "CreationTime": row.created}
        for row in rows
    ]
    return listed(shown, "EndpointConfigs", token)


def delete_endpoint_config(context: Context, given: dict[str, Any]) -> None:
    """Delete, also while an endpoint uses it: the SDKs delete the configuration first."""
    remove(context, CONFIG, given["EndpointConfigName"])


def _variants(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [*given["ProductionVariants"], *given.get("ShadowProductionVariants", [])]


def _with_defaults(given: dict[str, Any]) -> None:
    for variant in _variants(given):
        variant.setdefault("InitialVariantWeight", 1.0)


def _check(given: dict[str, Any]) -> None:
    variants, shadows = given["ProductionVariants"], given.get("ShadowProductionVariants", [])
    names = [each["VariantName"] for each in _variants(given)]
    for name in names:
        if names.count(name) > 1:
            raise validation(f"Variant names must be unique; {name!r} is given more than once.")
    for variant in _variants(given):
        _check_shape(variant)
    if shadows and (len(variants), len(shadows)) != (1, 1):
        raise validation("A shadow variant needs exactly one production variant, and is the only one.")
    if any("ServerlessConfig" in each for each in _variants(given)):
        _check_serverless(given)
    if "AsyncInferenceConfig" in given:
        if len(_variants(given)) > 1:
            raise validation("AsyncInferenceConfig needs exactly one variant.")
        if "DataCaptureConfig" in given:
            raise validation("AsyncInferenceConfig and DataCaptureConfig exclude each other.")


def _check_shape(variant: dict[str, Any]) -> None:
    name, serverless = variant["VariantName"], variant.get("ServerlessConfig")
    fleet = "InstanceType" in variant or "InitialInstanceCount" in variant
    if serverless and fleet:
        raise validation(
            f"Variant {name!r}: ServerlessConfig excludes InstanceType and InitialInstanceCount."
        )
    if not serverless and "InstanceType" not in variant and "InstancePools" not in variant:
        raise validation(f"Variant {name!r} needs an InstanceType or a ServerlessConfig.")
    if not serverless and "InitialInstanceCount" not in variant:
        raise validation(f"Variant {name!r} needs an InitialInstanceCount.")


def _check_serverless(given: dict[str, Any]) -> None:
    if len(_variants(given)) > 1:
        raise validation("A serverless endpoint has exactly one variant and no shadow variant.")
    for member in ("DataCaptureConfig", "VpcConfig", "AsyncInferenceConfig"):
        if member in given:
            raise validation(f"A serverless endpoint can't have a {member}.")
    limits = given["ProductionVariants"][0]["ServerlessConfig"]
    if limits.get("ProvisionedConcurrency", 0) > limits["MaxConcurrency"]:
        raise validation("ProvisionedConcurrency must not be greater than MaxConcurrency.")


def _check_model(
    connection: Connection, context: Context, given: dict[str, Any], variant: dict[str, Any]
) -> None:
    if "ModelName" not in variant:
        raise validation(
            f"Variant {variant['VariantName']!r} has no ModelName: inference components are not done by this "
            "version of dyno host."
        )
    model = find(connection, context, MODEL, variant["ModelName"]).desired
    containers = model.get("Containers", [])
    multi = any(each.get("Mode") == "MultiModel" for each in [*containers, model.get("PrimaryContainer", {})])
    if not multi and len(containers) < 2:
        return
    for member, words in (("ServerlessConfig", "serverless"),):
        if member in variant:
            raise validation(f"A {words} endpoint serves one model in one container.")
    for member in ("AsyncInferenceConfig", "ShadowProductionVariants"):
        if given.get(member):
            raise validation(f"{member} needs models of one container in SingleModel mode.")
    if multi and "DataCaptureConfig" in given:
        raise validation("DataCaptureConfig excludes models in MultiModel mode.")
