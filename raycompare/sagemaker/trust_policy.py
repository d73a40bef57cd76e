"""Whether SageMaker may assume a role, from the role's trust policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

SERVICE = "sagemaker.amazonaws.com"


def trusts(policy: Mapping[str, Any] | str) -> bool:
    """Return whether a trust policy lets SageMaker assume the role; a Deny comes first.

    Statements with a condition are taken to apply, since it can't be evaluated here.
    """
    content = json.loads(unquote(policy)) if isinstance(policy, str) else policy
    statements = content.get("Statement", [])
    every = [statements] if isinstance(statements, Mapping) else statements
    effects = [part.get("Effect") for part in every if _lets_sagemaker_assume(part)]
    return "Allow" in effects and "Deny" not in effects


def _lets_sagemaker_assume(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal", {})
    services = _listed(principal if principal == "*" else principal.get("Service", []))
    actions = [action.lower() for action in _listed(statement.get("Action", []))]
    is_action = any(fnmatchcase("sts:assumerole", action) for action in actions)
    return is_action and bool({SERVICE, "*"} & set(services))


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
