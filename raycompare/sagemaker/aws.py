"""The way to AWS: boto3's clients and the SageMaker SDK, imported where a command needs them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

from raycompare.errors import UserError

INSTALL = "pip install 'raycompare[sagemaker]'"


def require_sdk() -> None:
    """Make sure that the extra is installed.

    Raises:
        UserError: it is not; the message says how to get it.
    """
    if find_spec("sagemaker") is None or find_spec("boto3") is None:
        raise UserError(f"the SageMaker SDK is not installed here; {INSTALL}")


@dataclass(frozen=True)
class Aws:
    """An account in a region, as boto3 finds them; `region` counts more than its settings."""

    given_region: str | None = None

    @cached_property
    def _boto(self) -> Any:
        require_sdk()
        import boto3

        return boto3.Session(region_name=self.given_region)

    @property
    def region(self) -> str | None:
        """Of the command, the environment, or ~/.aws/config."""
        region: str | None = self._boto.region_name
        return region

    def client(self, service: str) -> Any:
        """Return boto3's client."""
        return self._boto.client(service)

    def session(self, bucket: str) -> Any:
        """Return the SDK's session; what it sends home is off, unless its own settings say on.

        Telemetry of the SDK (3.27) is a request to a bucket of AWS at each call of `train`.
        """
        from sagemaker.core.config.config import load_sagemaker_config
        from sagemaker.core.helper.session_helper import Session

        # Roles are checked before, and all that is wrong is told at once.
        os.environ.setdefault("SAGEMAKER_VALIDATE_ROLE", "false")
        config = quiet(load_sagemaker_config())
        return Session(boto_session=self._boto, sagemaker_config=config, default_bucket=bucket)


def quiet(config: dict[str, Any]) -> dict[str, Any]:
    """Return the SDK's settings with its telemetry off where they do not say."""
    sdk = config.get("SageMaker", {}).get("PythonSDK", {})
    modules = {"TelemetryOptOut": True, **sdk.get("Modules", {})}
    return {
        "SchemaVersion": "1.0",
        **config,
        "SageMaker": {
            **config.get("SageMaker", {}),
            "PythonSDK": {**sdk, "Modules": modules},
        },
    }
