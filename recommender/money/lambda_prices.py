"""Prices of AWS Lambda and SageMaker serverless, us-east-1; each with its source."""

from __future__ import annotations

from typing import NamedTuple

SERVERLESS_USD_PER_GB_S = 2.0e-5
"""SageMaker serverless: 0.00002 a second at 1,024 MB to 0.00012 at 6,144 MB. Source: cost_constants.py of
aws-samples/sagemaker-serverless-inference-benchmarking."""
SERVERLESS_GB = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
"""Sizes of CreateEndpointConfig's MemorySizeInMB, in GB of 1,024 MB."""

LAMBDA_USD_PER_REQUEST = 0.20e-6
MB_PER_VCPU = 1769.0
"""Lambda: memory that brings one vCPU, in proportion. Source: AWS Lambda guide."""
LAMBDA_MB = (128.0, 10_240.0)
MB_PER_GB = 1024.0


class Tier(NamedTuple):
    """GB-seconds of a month up to `up_to_gb_s` at this price."""

    up_to_gb_s: float
    usd_per_gb_s: float


LAMBDA_TIERS = {
    "Lambda x86": (Tier(6e9, 1.66667e-5), Tier(15e9, 1.5e-5), Tier(float("inf"), 1.33333e-5)),
    "Lambda arm": (Tier(7.5e9, 1.33334e-5), Tier(18.75e9, 1.20001e-5), Tier(float("inf"), 1.06667e-5)),
}
"""Source: AWS Lambda pricing, by infracost's tests and api-evangelist's plans (read 2026-09-20)."""


def tiered_usd(gb_s: float, tiers: tuple[Tier, ...]) -> float:
    """Price so many GB-seconds: each tier's share at its own price."""
    usd, below = 0.0, 0.0
    for tier in tiers:
        usd += max(0.0, min(gb_s, tier.up_to_gb_s) - below) * tier.usd_per_gb_s
        below = tier.up_to_gb_s
    return usd
