"""The operations that are done, by service and name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modeldyno.hosting.control import configs, endpoints, identity, log_events, logs, models, tagging
from modeldyno.hosting.control.context import Context

Operation = Callable[[Context, dict[str, Any]], dict[str, Any] | None]

OPERATIONS: dict[str, dict[str, Operation]] = {
    "sagemaker": {
        "CreateModel": models.create_model,
        "DescribeModel": models.describe_model,
        "ListModels": models.list_models,
        "DeleteModel": models.delete_model,
        "CreateEndpointConfig": configs.create_endpoint_config,
        "DescribeEndpointConfig": configs.describe_endpoint_config,
        "ListEndpointConfigs": configs.list_endpoint_configs,
        "DeleteEndpointConfig": configs.delete_endpoint_config,
        "CreateEndpoint": endpoints.create_endpoint,
        "DescribeEndpoint": endpoints.describe_endpoint,
        "ListEndpoints": endpoints.list_endpoints,
        "UpdateEndpoint": endpoints.update_endpoint,
        "DeleteEndpoint": endpoints.delete_endpoint,
        "AddTags": tagging.add_tags,
        "ListTags": tagging.list_tags,
        "DeleteTags": tagging.delete_tags,
    },
    "logs": {
        "CreateLogGroup": logs.create_log_group,
        "CreateLogStream": logs.create_log_stream,
        "PutLogEvents": log_events.put_log_events,
        "DescribeLogGroups": logs.describe_log_groups,
        "DescribeLogStreams": logs.describe_log_streams,
        "GetLogEvents": log_events.get_log_events,
        "FilterLogEvents": log_events.filter_log_events,
    },
    "sts": {"GetCallerIdentity": identity.get_caller_identity},
}
