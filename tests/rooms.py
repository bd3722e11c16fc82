"""The rooms below `modeldyno`, from the bottom to the top: what tests of the whole house go through."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = (
    "base",
    "runtime",
    "compiler",
    "serving",
    "loadgen",
    "trials",
    "recommender",
    "gate",
    "reports",
    "hosting",
)
