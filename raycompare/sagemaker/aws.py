"""Access to AWS with boto3 and the SageMaker SDK, which are imported on first use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

from raycompare.errors import UserError
from raycompare.extras import install_command


def require_sdk() -> None:
    """Check that the extra is installed.

    Raises:
        UserError: it is not; the message says how to install it.
    """
    if find_spec("sagemaker") is None or find_spec("boto3") is None:
        raise UserError(
            f"the SageMaker SDK is not installed here. Install it: {install_command('sagemaker')}"
        )


@dataclass(frozen=True)
class Aws:
    """An account and region, from boto3's configuration."""

    requested_region: str | None = None
    """Overrides the region of the configuration."""

    @cached_property
    def _boto(self) -> Any:
        require_sdk()
        import boto3

        return boto3.Session(region_name=self.requested_region)

    @property
    def region(self) -> str | None:
        """The region of the command, the environment, or ~/.aws/config."""
        region: str | None = self._boto.region_name
        return region

    def client(self, service: str) -> Any:
        """Return boto3's client."""
        return self._boto.client(service)

    def session(self, bucket: str) -> Any:
        """Return the SDK's session, with telemetry off unless its own settings turn it on.

        With telemetry, the SDK (3.27) sends a request to an AWS bucket at each call of `train`.
        """
        from sagemaker.core.config.config import load_sagemaker_config
        from sagemaker.core.helper.session_helper import Session

        # Roles have already been checked, together with everything else.
        os.environ.setdefault("SAGEMAKER_VALIDATE_ROLE", "false")
        config = quiet(load_sagemaker_config())
        return Session(boto_session=self._boto, sagemaker_config=config, default_bucket=bucket)


def quiet(config: dict[str, Any]) -> dict[str, Any]:
    """Return the SDK's settings, with telemetry off unless they set it."""
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
