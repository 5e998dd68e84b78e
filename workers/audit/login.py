"""Who is asking: a token and a signed cookie, or a header of a reverse proxy."""

from __future__ import annotations

import hashlib
import hmac
import re
from ipaddress import ip_address, ip_network

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request

from kaption.workers.policy.audit import AuditPolicy

COOKIE = "kaption_audit"
NAME = re.compile(r"[\w.@+-]{1,64}", re.ASCII)
"""What a person may be called. Without a blank: see `schemas.pair.decision_key`."""


class Login:
    """Knows people by their tokens or by the proxy. `key` signs; all servers have the same one."""

    def __init__(self, policy: AuditPolicy, key: bytes) -> None:
        self._policy = policy
        self._signer = URLSafeTimedSerializer(
            key, salt="kaption-audit", signer_kwargs={"digest_method": hashlib.sha256}
        )
        given = policy.tokens.get_secret_value().split() if policy.tokens else []
        self._tokens = dict(word.split("=", 1) for word in given)
        self._proxies = [ip_network(each) for each in policy.proxies]

    def person(self, request: Request) -> str | None:
        """The name of the person who sends the request, or None."""
        if self._policy.user_header and self.from_proxy(request):
            named = request.headers.getlist(self._policy.user_header)
            # A header that is there twice may be one of the browser's beside the proxy's.
            return named[0] if len(named) == 1 and NAME.fullmatch(named[0]) else None
        session = self.read("session", request.cookies.get(COOKIE, ""))
        match session:
            case [str(name), str(digest)] if hmac.compare_digest(digest, self._digest(name)):
                return name
        return None

    def from_proxy(self, request: Request) -> bool:
        """Whether the request comes from the reverse proxy."""
        try:
            address = ip_address(request.client.host if request.client else "")
        except ValueError:
            return False
        return any(address in network for network in self._proxies)

    def session(self, token: str) -> str | None:
        """The cookie's value for the person who has this token, or None."""
        given, found = token.strip().encode(), None
        for name, known in self._tokens.items():
            # Compare with all, and in equal time, so that the time tells nothing.
            if hmac.compare_digest(known.encode(), given):
                found = name
        return None if found is None else self.sign("session", [found, self._digest(found)])

    def sign(self, purpose: str, value: object) -> str:
        """A text from which `read` gets the value back, for this purpose alone."""
        return str(self._signer.dumps([purpose, value]))

    def read(self, purpose: str, text: str) -> object:
        """The value that was signed for this purpose and is not too old, else None."""
        try:
            match self._signer.loads(text, max_age=int(self._policy.session_s)):
                case [str(meant), value] if meant == purpose:
                    return value
        except BadData:
            return None
        return None

    def _digest(self, name: str) -> str:
        token = self._tokens.get(name)
        # Of no token: equal to no digest, for it is longer.
        return hashlib.sha256(token.encode()).hexdigest()[:16] if token else "there is no token"
