"""The one place that makes an S3 client and sorts its errors by what to do about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from schemas import StoreConnection
from schemas.errors import Fatal, Retry

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
ATTEMPTS = 4
"""In botocore's standard mode: connection errors, 5xx and throttling, with back-off."""
CONNECTIONS = 64

_ABSENT = {"NoSuchKey", "404", "NotFound"}
_BUSY = {
    *("SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "OperationAborted"),
    *("BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "ConditionalRequestConflict"),
}
_REFUSED = {
    *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403"),
    *("InvalidToken", "AllAccessDisabled", "AccountProblem", "RequestTimeTooSkewed"),
    *("PermanentRedirect", "AuthorizationHeaderMalformed", "301", "401"),
}


def connect(connection: StoreConnection) -> Any:
    """A boto3 client that any thread may use; nothing is sent yet. Raises Fatal on bad settings."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        # Servers other than AWS seldom answer to bucket.host.
        s3={"addressing_style": "path" if connection.endpoint else "auto"},
    )
    secret = connection.secret_key.get_secret_value() if connection.secret_key else None
    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=connection.endpoint,
            region_name=connection.region,
            aws_access_key_id=connection.access_key,
            aws_secret_access_key=secret,
            config=config,
        )
    except ValueError as error:
        raise Fatal(f"store.endpoint {connection.endpoint!r}: {error}") from error


@contextmanager
def translated(bucket: str, key: str) -> Iterator[None]:
    """Turn botocore's errors into Retry, Fatal or KeyError; a fault of ours passes unchanged."""
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
        raise Fatal(f"S3: {error}; set store.access_key and store.secret_key") from error
    except raised.SSLError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise Fatal(f"S3: {error}; correct store.endpoint or trust its certificate") from error
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
    """The HTTP status of a ClientError; 0 where it has none."""
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
        raise Fatal(
            f"S3 refuses {key}: {error}; check store.access_key, store.secret_key, "
            "store.region, the bucket's policy and this machine's clock"
        ) from error


def _retry_after(error: Any) -> float | None:
    text = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    return float(text) if text.isdecimal() else None
