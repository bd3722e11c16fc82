"""What records are made of: pydantic, in whose place a bundle has `plain_models.py` under this name."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["BaseModel", "ConfigDict", "Field", "ValidationError"]
