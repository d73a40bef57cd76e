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


LOGIN = "Run `aws configure` or `aws sso login`, or set AWS_PROFILE."
_LOGIN_ERRORS = (
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
    *("ProfileNotFound", "ConfigNotFound", "TokenRetrievalError", "InvalidConfigError"),
    *("UnauthorizedSSOTokenError", "SSOTokenLoadError", "SSOError", "ConfigParseError"),
)
_LOGIN_CODES = (
    *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "RequestExpired"),
    *("UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId"),
    *("InvalidSignatureException", "AuthFailure", "IncompleteSignature"),
)
_ADVICE = {
    **dict.fromkeys(_LOGIN_CODES, LOGIN),
    "ResourceLimitExceeded": "Request an increase in the console (Service Quotas, Amazon "
    "SageMaker), or use fewer or other instances.",
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"),
        "Ask the administrator of the account for the action that the message names.",
    ),
    **dict.fromkeys(
        ("ThrottlingException", "Throttling", "RequestLimitExceeded"), "Try again in a minute."
    ),
}


def no_region() -> str:
    """Say which places for the region are empty; boto3 doesn't read AWS_REGION."""
    found = "no region, neither in --region or AWS_DEFAULT_REGION nor in ~/.aws/config"
    other = os.environ.get("AWS_REGION")
    return f"{found}; boto3 doesn't read AWS_REGION, which is {other}" if other else found


def region_hint() -> str:
    """Return what to do without a region."""
    return f"export AWS_DEFAULT_REGION={os.environ.get('AWS_REGION') or 'us-east-1'}"


def explain_aws(error: BaseException) -> str | None:
    """Return the message for an error of boto3: what AWS said, and what to do; None for others."""
    from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        return f"AWS: {_one_line(error)}. {_ADVICE.get(code, '')}".rstrip()
    if isinstance(error, NoRegionError):
        return f"AWS: found {no_region()}. Try {region_hint()}"
    if isinstance(error, BotoCoreError):
        is_login = type(error).__name__ in _LOGIN_ERRORS
        advice = LOGIN if is_login else "Check the region and your connection."
        return f"AWS: {_one_line(error)}. {advice}"
    return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


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

    def regions(self, service: str) -> list[str]:
        """Return the regions of a service, in all partitions."""
        every = self._boto.get_available_partitions()
        return [r for one in every for r in self._boto.get_available_regions(service, one)]

    def client(self, service: str) -> Any:
        """Return boto3's client."""
        return self._boto.client(service)

    def session(self, bucket: str, prefix: str | None = None) -> Any:
        """Return the SDK's session, which uploads below a prefix of a bucket.

        Telemetry is off unless the SDK's own settings turn it on.

        With telemetry, the SDK (3.27) sends a request to an AWS bucket at each call of `train`.
        """
        from sagemaker.core.config.config import load_sagemaker_config
        from sagemaker.core.helper.session_helper import Session

        # Roles have already been checked, together with everything else.
        os.environ.setdefault("SAGEMAKER_VALIDATE_ROLE", "false")
        config = quiet(load_sagemaker_config())
        return Session(
            boto_session=self._boto,
            sagemaker_config=config,
            default_bucket=bucket,
            default_bucket_prefix=prefix,
        )


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
