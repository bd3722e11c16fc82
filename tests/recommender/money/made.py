"""Offers with figures that are easy to work with by hand."""

from __future__ import annotations

from modeldyno.recommender.money.fleet import Offer
from modeldyno.trials.catalog.instance_types import load_catalog
from tests.recommender.measured import instance

CATALOG = load_catalog()


def offer(
    name: str = "c5.large",
    usd_per_hour: float = 0.10,
    capacity_rps: float = 20.0,
    cores_per_rps: float | None = None,
) -> Offer:
    """One instance of `name`; a type of the catalogue with its own price where `usd_per_hour` is 0."""
    of_catalog = CATALOG[name] if usd_per_hour == 0 else instance(name, usd_per_hour)
    return Offer(f"{name}_compiled", of_catalog, "compiled", capacity_rps, cores_per_rps)
