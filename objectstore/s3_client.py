"""The S3 client, and its errors sorted by what to do about them."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from kaption.connections.errors import Fatal, Retry
from kaption.connections.settings import StoreConnection
from kaption.connections.tls import authorities, setting, tls_refusal

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
ATTEMPTS = 4
"""botocore's standard mode repeats a request after connection errors, 5xx and throttling."""
CONNECTIONS = 64
"""Open connections that one client keeps."""

DIRECTORY_BUCKET = "--x-s3"
"""How the names of S3 Express's buckets end. They alone know no Content-MD5 and no StartAfter."""
NOT_S3 = "the answer is not that of an S3 server"
OTHER_SERVER = f"S3: {NOT_S3}: correct {setting('store', 'endpoint')}"

_AWAY = (
    f"start the server, or correct {setting('store', 'endpoint')}, which begins with https:// "
    "where it speaks TLS"
)
_ABSENT = {"NoSuchKey", "404", "NotFound"}
_READING = {"GetObject", "HeadObject", "HeadBucket", "DeleteObject"}
"""The operations whose 404 says that the object is not there, and not that the address is wrong."""
_BUSY = {
    *("SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "OperationAborted"),
    *("ConditionalRequestConflict", "NoSuchUpload", "TemporaryRedirect"),
}
_BUSY_STATUS = {408, 425, 429}
_NEVER = {501, 505}
"""The answers of 500 and above that stay the same however often one asks."""
_NOT_KNOWN = {"NotImplemented", "501", "InvalidArgument", "InvalidRequest", "MethodNotAllowed"}
_DAMAGED = {"BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"}
"""The network damaged the upload, which `ATTEMPTS` mend, or the server cannot read it at all."""
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
    **dict.fromkeys(
        ("413", "EntityTooLarge"),
        "raise the limit of the server or of the proxy before it, or lower sink.shard_bytes",
    ),
    **dict.fromkeys(
        _DAMAGED,
        f"the bytes arrived changed {ATTEMPTS} times: look at the proxies before the server",
    ),
}
"""What to do, by S3's error code."""
_OTHERWISE = (
    f"repeating does not help: correct {setting('store', 'endpoint')}, or use another store"
)


def connect(connection: StoreConnection) -> Any:
    """Make a boto3 client that any thread may use. Sends nothing. Raises Fatal for bad settings."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        # boto3 would send checksums of its own, over https behind the body. Many servers (R2,
        # Google, OVH, Backblaze, older Ceph) refuse these or the headers that announce them. Every
        # server knows Content-MD5 (see `_with_digest`) and the SHA-256 that the signature covers.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            # Servers other than AWS seldom answer at bucket.host.
            "addressing_style": "path" if connection.endpoint else "auto",
            "payload_signing_enabled": True,
        },
    )
    authorities(setting("store", "ca_file"), connection.ca_file)
    secret = connection.secret_key.get_secret_value() if connection.secret_key else None
    try:
        client = boto3.session.Session().client(
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
    except BotoCoreError as error:
        raise _unusable(error) from error
    client.meta.events.register("needs-retry.s3", _repeat_damaged)
    directory = urlsplit(connection.url).netloc.endswith(DIRECTORY_BUCKET)
    for upload in () if directory else ("PutObject", "UploadPart"):
        client.meta.events.register(f"before-call.s3.{upload}", _with_digest)
    return client


@contextmanager
def translated(
    bucket: str, key: str, observe: Callable[[float], object] | None = None
) -> Iterator[None]:
    """Turn botocore's errors into Retry, Fatal or KeyError; `observe` gets seconds without any."""
    from botocore import exceptions as raised
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError as URLLib3Error

    began = time.perf_counter()
    try:
        yield
        if observe is not None:
            observe(time.perf_counter() - began)
    except raised.ClientError as error:
        _sort(bucket, key, error)
        raise
    except (
        raised.NoCredentialsError,
        raised.PartialCredentialsError,
        raised.TokenRetrievalError,
    ) as error:
        raise Fatal(f"S3: {error}; set {_ACCESS_KEY} and store.secret_key") from error
    except (ResponseParserError, RecursionError) as error:  # botocore follows redirects so
        raise Fatal(f"S3, {key}: {NOT_S3}: correct {setting('store', 'endpoint')}") from error
    except raised.SSLError as error:
        names = setting("store", "ca_file"), setting("store", "endpoint")
        if wrong := tls_refusal(error, *names, "the S3 server"):
            raise Fatal(wrong) from error
        raise Retry(f"S3, {key}: {error}; {_AWAY}") from error
    except (
        URLLib3Error,  # while the body of an answer is read
        raised.ConnectionError,
        raised.HTTPClientError,
        raised.CredentialRetrievalError,
        raised.IncompleteReadError,
        raised.ChecksumError,
        raised.FlexibleChecksumError,
    ) as error:
        raise Retry(f"S3, {key}: {error}; {_AWAY}") from error
    except raised.BotoCoreError as error:
        raise _unusable(error) from error
    except (FileNotFoundError, PermissionError) as error:  # such as the token of a web identity
        raise Fatal(f"S3: cannot read {error.filename}: {error.strerror}") from error


def page_of(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a page of a listing. Raises Fatal for one of another server, which looks empty."""
    if "IsTruncated" not in answer:
        raise Fatal(OTHER_SERVER)
    return answer


def knows_no_conditions(error: Any) -> bool:
    """Whether a ClientError may be the answer to a condition that the server does not know."""
    return error.response.get("Error", {}).get("Code") in _NOT_KNOWN


def status_of(error: Any) -> int:
    """Return the HTTP status of a ClientError, or 0 where it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _unusable(error: Exception) -> Fatal:
    """What boto3 finds wrong before it asks a server: its settings, or AWS's own files."""
    why = " ".join(str(error).partition(" or be an ARN")[0].split())
    return Fatal(f"S3: {why}: correct {setting('store', 'url')} or the configuration for AWS")


def _with_digest(params: Any, **_: Any) -> None:
    """Add the MD5 of an upload's body, so that the server refuses bytes that arrive damaged."""
    body, digest = params["body"], hashlib.md5(usedforsecurity=False)
    if isinstance(body, bytes):
        digest.update(body)
    else:
        start = body.tell()
        while chunk := body.read(1 << 20):
            digest.update(chunk)
        body.seek(start)
    params["headers"]["Content-MD5"] = base64.b64encode(digest.digest()).decode()


def _repeat_damaged(response: Any = None, attempts: int = 0, **_: Any) -> float | None:
    """Tell botocore how many seconds later it repeats an upload that arrived damaged."""
    code = response[1].get("Error", {}).get("Code") if response is not None else None
    return 0.1 * 2**attempts if code in _DAMAGED and attempts < ATTEMPTS else None


def _sort(bucket: str, key: str, error: Any) -> None:
    """Raise Retry for what time mends, KeyError for a missing object, Fatal for everything else."""
    code, status = error.response.get("Error", {}).get("Code", "").strip(), status_of(error)
    if code == "NoSuchBucket":
        raise Fatal(f"S3: there is no bucket {bucket}: make it or correct store.url") from error
    if code in _ABSENT and error.operation_name in _READING:
        raise KeyError(key) from error
    busy = status in _BUSY_STATUS or (status >= 500 and status not in _NEVER)
    if code in _BUSY or busy:
        raise Retry(f"S3, {key}: {error}", _retry_after(error)) from error
    advice = _REFUSED.get(code) or _REFUSED.get(str(status), _OTHERWISE)
    said = error if code else f"status {status} without a code of S3, maybe of a proxy"
    raise Fatal(f"S3 refuses {key}: {said}; {advice}") from error


def _retry_after(error: Any) -> float | None:
    text = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    return float(text) if text.isdecimal() else None
