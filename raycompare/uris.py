"""URIs that people name in files and commands must not have credentials in them.

Experiments, manifests, reports and model cards repeat the URIs of data and run folders, and logs
repeat commands.
"""

from __future__ import annotations

import re

from raycompare.errors import UserError

ALLOWED = (
    "a URI without credentials: environment variables, ~/.aws/credentials or the role of the "
    "machine have them"
)
_URI = re.compile(r"[A-Za-z][\w+.-]*://")
_AUTHORITY = re.compile(r"([A-Za-z][\w+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_SECRET = r"[\w-]*(?:secret|passw|token|key|signature|credential(?!_kind)|\bsig)[\w-]*"
"""Names of URI parameters such as client_secret, account_key or X-Amz-Signature."""
_PARAMETER = re.compile(rf"([?&;]{_SECRET}=)([^&;#\s'\"]+)", re.IGNORECASE)
_BEFORE_AT = re.compile(r"([A-Za-z][\w+.-]*://)[^\s'\"]*@")
BUCKETS = ("s3", "gs", "gcs")
"""Schemes whose URIs begin with a bucket."""
_CONTAINERS = ("abfs", "abfss")
"""Schemes in which container@account is the name of a place."""


def has_credentials(text: str) -> bool:
    """Return whether a URI has user info, or a parameter that is a secret by its name."""
    match = _AUTHORITY.fullmatch(text.strip())
    if match is None:
        return False
    scheme, authority, rest = match.groups()
    user, at, _ = authority.rpartition("@")
    if at and not _is_name(scheme.lower(), user):
        return True
    # A secret key may have a slash that is not escaped; what follows the colon is then no port.
    port = authority.partition(":")[2]
    is_cut = bool(port) and not port.isdigit() and not port.startswith("[") and "@" in rest
    return is_cut or _PARAMETER.search(rest) is not None


def _is_name(scheme: str, user: str) -> bool:
    if scheme in _CONTAINERS:
        return user != "" and ":" not in user
    return scheme in ("gs", "gcs") and user == "anonymous"


def hide_credentials(text: str) -> str:
    """Return a text in which the credentials of all URIs are replaced by ***."""
    if not _URI.search(text):
        return text
    return _PARAMETER.sub(r"\1***", _BEFORE_AT.sub(r"\1***@", text))


def require_bucket(uri: str) -> None:
    """Check that a URI of a bucket names one.

    Raises:
        UserError: it names none.
    """
    match = _AUTHORITY.fullmatch(uri)
    if match and match[1].lower() in BUCKETS and not match[2]:
        raise UserError(f"{uri}: found no bucket, allowed {match[1]}://BUCKET/PATH.")


def require_no_credentials(uri: str) -> None:
    """Check that a URI has no credentials.

    Raises:
        UserError: it has some; the message doesn't repeat them.
    """
    if has_credentials(uri):
        raise UserError(
            f"{hide_credentials(uri)}: found credentials in a URI, which records and logs would "
            f"repeat. Allowed {ALLOWED}. If they were used before, replace them."
        )
