"""Requests against the service models: words, order, every pattern; nothing but an ApiError comes out."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.model import Shape  # noqa: TC002 - as other types are imported
from hypothesis import given, settings
from hypothesis import strategies as st

from modeldyno.hosting.control.operations import OPERATIONS
from modeldyno.hosting.wire.errors import ApiError
from modeldyno.hosting.wire.exceptions import RULES
from modeldyno.hosting.wire.service_models import SERVICES, operation, service_model
from modeldyno.hosting.wire.validate import matches, validated

ROLE = "arn:aws:iam::123456789012:role/any"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def refused(service: str, name: str, given: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        validated(operation(service, name).input_shape, given)
    return caught.value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {},
            "1 validation error detected: Value null at 'modelName' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            {"ModelName": "a" * 64},
            f"1 validation error detected: Value '{'a' * 64}' at 'modelName' failed to satisfy constraint: "
            "Member must have length less than or equal to 63",
        ),
        (
            {"ModelName": "-a"},
            "1 validation error detected: Value '-a' at 'modelName' failed to satisfy constraint: Member "
            r"must satisfy regular expression pattern: [a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?",
        ),
        (
            {"ModelName": "a", "PrimaryContainer": {"Mode": "Both", "Environment": {"1": "x"}}},
            "2 validation errors detected: Value '1' at 'primaryContainer.environment' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*; Value "
            "'Both' at 'primaryContainer.mode' failed to satisfy constraint: Member must satisfy enum value "
            "set: [SingleModel, MultiModel]",
        ),
    ],
)
def test_a_broken_limit_is_said_in_the_words_of_aws(given: dict[str, Any], message: str) -> None:
    error = refused("sagemaker", "CreateModel", given)
    assert error.code == "ValidationException"
    assert sorted(error.message.partition(": ")[2].split("; ")) == sorted(
        message.partition(": ")[2].split("; ")
    )
    assert error.message.partition(": ")[0] == message.partition(": ")[0]


def test_an_element_of_a_list_is_named_by_its_number() -> None:
    variants = [
        {"VariantName": "a", "InitialInstanceCount": 1},
        {"VariantName": "b", "InitialInstanceCount": 0},
    ]
    error = refused(
        "sagemaker", "CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": variants}
    )
    assert error.message == (
        "1 validation error detected: Value '0' at 'productionVariants.2.member.initialInstanceCount' failed "
        "to satisfy constraint: Member must have value greater than or equal to 1"
    )


@pytest.mark.parametrize("weight", ["NaN", "Infinity", float("inf")])
def test_a_weight_is_a_finite_number(weight: object) -> None:
    variant = {"VariantName": "a", "InitialVariantWeight": weight}
    error = refused(
        "sagemaker", "CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [variant]}
    )
    assert "initialVariantWeight' failed to satisfy constraint: Member must be a finite" in error.message


def test_the_memory_of_serverless_has_steps() -> None:
    variant = {"VariantName": "a", "ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 201}}
    error = refused(
        "sagemaker", "CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [variant]}
    )
    assert "enum value set: [1024, 2048, 3072, 4096, 5120, 6144]" in error.message
    assert (
        "maxConcurrency' failed to satisfy constraint: Member must have value less than or" in error.message
    )


@pytest.mark.parametrize(
    "given", [{"ModelName": 3}, {"ModelName": ["a"]}, [], "x", {"ModelName": True}, {"Tags": [1]}]
)
def test_a_wrong_type_is_no_validation_error(given: Any) -> None:
    assert refused("sagemaker", "CreateModel", given).code == "SerializationException"


def test_a_body_of_25_mib_passes_though_the_model_says_six() -> None:
    shape = operation("sagemaker-runtime", "InvokeEndpoint").input_shape
    most = 26_214_400
    assert len(validated(shape, {"EndpointName": "a", "Body": bytes(most)})["Body"]) == most
    with pytest.raises(ApiError, match="less than or equal to 26214400"):
        validated(shape, {"EndpointName": "a", "Body": bytes(most + 1)})


def test_every_exception_is_of_a_shape_that_is_there_and_has_a_source() -> None:
    names = {name for service in SERVICES for name in service_model(service).shape_names}
    assert [rule.shape for rule in RULES if rule.shape not in names or not rule.source] == []


def test_every_pattern_is_understood() -> None:
    patterns = {
        shape.metadata["pattern"]
        for service in SERVICES
        for shape in (service_model(service).shape_for(name) for name in service_model(service).shape_names)
        if "pattern" in shape.metadata
    }
    assert len(patterns) > 100
    for pattern in patterns:
        matches(pattern, "a")


def test_a_character_in_two_halves_is_one() -> None:
    pattern = service_model("sagemaker").shape_for("TableName").metadata["pattern"]
    assert matches(pattern, "a\U0001f600\u20ac")
    assert not matches(pattern, "a\x01")


def test_a_pattern_takes_the_whole_text_and_ends_in_time() -> None:
    assert matches("[a-z]+", "abc")
    assert not matches("[a-z]+", "abc\n")
    assert not matches("(a+)+b", "a" * 60)


def leaves(shape: Shape | None) -> st.SearchStrategy[Any]:
    """Values that are nearly right: names of members that exist, types at random."""
    if shape is None:
        return JSON
    names = sorted(getattr(shape, "members", {}))
    return st.dictionaries(st.sampled_from(names) if names else st.text(max_size=4), JSON, max_size=5)


def check_random(data: st.DataObject) -> None:
    service = data.draw(st.sampled_from(sorted(OPERATIONS)))
    shape = operation(service, data.draw(st.sampled_from(sorted(OPERATIONS[service])))).input_shape
    given = data.draw(JSON | leaves(shape))
    try:
        value = validated(shape, given)
    except ApiError:
        return
    assert shape is None or set(value) <= set(shape.members)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_is_sent_the_answer_is_a_value_or_an_error_of_the_api(data: st.DataObject) -> None:
    check_random(data)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=10_000, deadline=None)
def test_whatever_is_sent_at_length(data: st.DataObject) -> None:
    check_random(data)
