"""The S3 client, and its errors sorted by what to do about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import StoreConnection
from kaption.connections.tls import authorities, setting, tls_refusal

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
ATTEMPTS = 4
"""botocore's standard mode repeats a request after connection errors, 5xx and throttling."""
CONNECTIONS = 64
"""Open connections that one client keeps."""

_ABSENT = {"NoSuchKey", "404", "NotFound"}
_BUSY = {
    *("SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "OperationAborted"),
    *("BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "ConditionalRequestConflict"),
}
_ACCESS_KEY = setting("store", "access_key")
_SECRET_KEY = setting("store", "secret_key")
_AMBIENT = "the credentials of this machine or pod are no longer valid: renew them"
_REFUSED = {
    "InvalidAccessKeyId": f"the server does not know {_ACCESS_KEY}",
    "SignatureDoesNotMatch": f"{_SECRET_KEY} does not belong to store.access_key",
    "AccessDenied": f"the user of {_ACCESS_KEY} lacks the right: see the bucket's policy",
    "AllAccessDisabled": "access to the bucket is switched off: see its owner",
    "AccountProblem": "the account is not in order: see its owner",
    "ExpiredToken": _AMBIENT,
    "InvalidToken": _AMBIENT,
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "301"),
        f"{setting('store', 'region')} or store.endpoint is not the bucket's: correct it",
    ),
    # An answer to HEAD has no body, so its status stands in for the code.
    **dict.fromkeys(
        ("401", "403"),
        f"{_ACCESS_KEY}, store.secret_key or the bucket's policy does not allow it: correct one",
    ),
}
"""What to do, by S3's error code."""


def connect(connection: StoreConnection) -> Any:
    """Make a boto3 client that any thread may use. Sends nothing. Raises Fatal for bad settings."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        # Servers other than AWS seldom answer at bucket.host.
        s3={"addressing_style": "path" if connection.endpoint else "auto"},
    )
    authorities(setting("store", "ca_file"), connection.ca_file)
    secret = connection.secret_key.get_secret_value() if connection.secret_key else None
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=connection.endpoint,
            region_name=connection.region,
            aws_access_key_id=connection.access_key,
            aws_secret_access_key=secret,
            verify=connection.ca_file,
            config=config,
        )
    except ValueError as error:
        raise Fatal(f"store.endpoint {connection.endpoint!r}: {error}") from error


@contextmanager
def translated(bucket: str, key: str) -> Iterator[None]:
    """Turn botocore's errors into Retry, Fatal or KeyError; programming errors pass unchanged."""
    from botocore import exceptions as raised

    try:
        yield
    except raised.ClientError as error:
        _sort(bucket, key, error)
        raise
    except (
        raised.NoCredentialsError,
        raised.PartialCredentialsError,
        raised.TokenRetrievalError,
        raised.ProfileNotFound,
    ) as error:
        raise Fatal(f"S3: {error}; set {_ACCESS_KEY} and store.secret_key") from error
    except raised.SSLError as error:
        names = setting("store", "ca_file"), setting("store", "endpoint")
        if wrong := tls_refusal(error, *names, "the S3 server"):
            raise Fatal(wrong) from error
        raise Retry(f"S3, {key}: {error}") from error
    except (
        raised.ConnectionError,
        raised.HTTPClientError,
        raised.CredentialRetrievalError,
        raised.IncompleteReadError,
        raised.ChecksumError,
        raised.FlexibleChecksumError,
    ) as error:
        raise Retry(f"S3, {key}: {error}") from error


def status_of(error: Any) -> int:
    """Return the HTTP status of a ClientError, or 0 where it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _sort(bucket: str, key: str, error: Any) -> None:
    code, status = error.response.get("Error", {}).get("Code", ""), status_of(error)
    if code == "NoSuchBucket":
        raise Fatal(f"S3: there is no bucket {bucket}: make it or correct store.url") from error
    if code in _ABSENT:
        raise KeyError(key) from error
    if code in _BUSY or status >= 500 or status == 429:
        raise Retry(f"S3, {key}: {error}", _retry_after(error)) from error
    if code in _REFUSED:
        raise Fatal(f"S3 refuses {key}: {error}; {_REFUSED[code]}") from error


def _retry_after(error: Any) -> float | None:
    text = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    return float(text) if text.isdecimal() else None
