"""Tokens for Kafka's OAUTHBEARER: from an endpoint by client credentials, or from a file."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from kafka.net.sasl.oauth import AbstractTokenProvider

from kaption.connections.errors import Fatal, Fault, Retry
from kaption.connections.settings import KafkaConnection
from kaption.connections.tls import authorities, setting, tls_refusal

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 1 << 20
USABLE_PART = 0.8
"""A token is replaced after this part of its life."""

_SECRET = setting("kafka", "oauth_client_secret")
_URL = setting("kafka", "oauth_token_url")
_FILE = setting("kafka", "oauth_token_file")


@lru_cache(maxsize=16)
def token_provider(connection: KafkaConnection) -> AbstractTokenProvider:
    """One provider for all clients of a connection, so that they share its token."""
    if connection.oauth_token_file is not None:
        return FileTokens(Path(connection.oauth_token_file))
    return EndpointTokens(connection)


class FileTokens(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """Reads the file for each login: whoever mounts it keeps the token valid."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def token(self) -> str:
        """The file's content. Raises Fatal where it cannot be read or is empty."""
        try:
            token = self._path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Fatal(f"{_FILE}: {self._path} cannot be read: {type(error).__name__}") from None
        if not token:
            raise Fatal(f"{_FILE}: {self._path} is empty: put a token into it")
        return token


class EndpointTokens(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """Asks an endpoint by the client credentials grant (RFC 6749, section 4.4) and keeps the token.

    A token serves until `USABLE_PART` of its life is over.
    """

    def __init__(
        self, connection: KafkaConnection, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._usable_until = float("-inf")

    def token(self) -> str:
        """A token that is valid for a while.

        Raises Fatal where the endpoint refuses us, Retry where it does not answer.
        """
        with self._lock:
            if self._clock() >= self._usable_until:
                asked = self._clock()
                self._token, life_s = self._ask()
                self._usable_until = asked + USABLE_PART * life_s
            return self._token

    def _ask(self) -> tuple[str, float]:
        """A new token, and for how many seconds it is valid."""
        try:
            answer = json.loads(self._post())
            return str(answer["access_token"]), float(answer.get("expires_in", 0))
        except (ValueError, KeyError, TypeError, AttributeError):
            # Leave the parser's message out: it may hold parts of a token.
            raise Fatal(
                f"{_URL} answers with something that is no OAuth token: correct it"
            ) from None

    def _post(self) -> bytes:
        url, secret = self._connection.oauth_token_url, self._connection.oauth_client_secret
        assert url is not None
        assert secret is not None
        form = {"grant_type": "client_credentials", "scope": self._connection.oauth_scope or ""}
        request = urllib.request.Request(  # noqa: S310  # the settings allow http and https only
            url,
            urllib.parse.urlencode({name: value for name, value in form.items() if value}).encode(),
            {"Authorization": _basic(self._connection.oauth_client_id, secret.get_secret_value())},
        )
        name = setting("kafka", "oauth_ca_file")
        context = authorities(name, self._connection.oauth_ca_file)
        try:
            # Follow no redirect: it would carry the secret to another server.
            opener = urllib.request.build_opener(
                _Stay, urllib.request.HTTPSHandler(context=context)
            )
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                data: bytes = answer.read(MAX_ANSWER_BYTES)
                return data
        except urllib.error.HTTPError as error:
            raise _refused(url, error) from None
        except (OSError, http.client.HTTPException) as error:
            if wrong := tls_refusal(error, name, _URL, url):
                raise Fatal(wrong) from None
            reason = getattr(error, "reason", error)
            raise Retry(f"{_URL}: {url} does not answer: {reason}") from None


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        """Follow none."""


def _basic(client_id: str | None, secret: str) -> str:
    """The Authorization header; RFC 6749, section 2.3.1: form-encode both parts, then join them."""
    pair = ":".join(urllib.parse.quote_plus(part) for part in (client_id or "", secret))
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _refused(url: str, error: urllib.error.HTTPError) -> Fault:
    if error.code >= 500 or error.code == 429:
        return Retry(f"{_URL}: {url} answers with {error.code}")
    if error.code in (400, 401, 403):
        return Fatal(
            f"{url} gives no token (HTTP {error.code}): check {_SECRET}, kafka.oauth_client_id "
            "and kafka.oauth_scope"
        )
    return Fatal(f"{_URL}: {url} answers with HTTP {error.code}: it is no token endpoint")
