"""STS: who the caller is. Whoever reaches the host is the one account."""

from __future__ import annotations

from typing import Any

from modeldyno.hosting.control.context import Context

USER_ID = "AIDADYNOHOSTLOCALUSER"


def get_caller_identity(context: Context, _given: dict[str, Any]) -> dict[str, Any]:
    """Give account, user and ARN."""
    return {
        "UserId": USER_ID,
        "Account": context.account,
        "Arn": f"arn:aws:iam::{context.account}:user/dyno",
    }
