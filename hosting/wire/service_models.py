"""The service models of botocore: names, required fields, enums, limits and patterns stand there."""

from __future__ import annotations

import threading
from functools import lru_cache

from botocore.loaders import create_loader
from botocore.model import OperationModel, ServiceModel

from modeldyno.hosting.wire.errors import ApiError

SERVICES = ("sagemaker", "sagemaker-runtime", "cloudwatch", "logs", "sts", "s3")
_lock = threading.Lock()


def service_model(name: str) -> ServiceModel:
    """Read the model of a service, once: the first takes half a second, so never on the loop."""
    with _lock:
        return _read(name)


def operation(service: str, name: str) -> OperationModel:
    """Give one operation. Raises ApiError where the service has none of that name."""
    model = service_model(service)
    if name not in model.operation_names:
        raise ApiError("UnknownOperationException", f"{service} has no operation {name[:256]!r}.")
    with _lock:  # botocore fills its caches at the first use
        return model.operation_model(name)


@lru_cache(maxsize=len(SERVICES))
def _read(name: str) -> ServiceModel:
    return ServiceModel(create_loader().load_service_model(name, "service-2"), name)
