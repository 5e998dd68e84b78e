"""The settings of `kaption audit`."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from kaption.workers.policy import Fraction, Policy, PositiveFloat


class AuditPolicy(Policy):
    """The command `kaption audit`: people judge the sample in pairs.audit."""

    host: str = "127.0.0.1"
    """Address that the page is served on; :: listens on IPv6 too."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8090
    """Port of the page; 0 takes a free one."""
    tokens: SecretStr | None = None
    """Who may judge, as name=token, several separated by blanks. A name has letters, digits and
    ``. _ @ + -``; a token has 16 characters or more. A person whose token changes is logged out."""
    user_header: str | None = None
    """Header in which a reverse proxy names the person that it has logged in, such as
    X-Forwarded-User. Unset, no header is believed."""
    proxies: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks of the reverse proxy. user_header and X-Forwarded-Proto are believed only from
    there."""
    session_s: PositiveFloat = 43_200.0
    """Time after which a person logs in again."""
    claim_s: PositiveFloat = 600.0
    """Time that a pair stays with the person to whom it was shown."""
    double_fraction: Fraction = 0.1
    """Share of the sample that two people judge, to see how far people agree."""

    @field_validator("tokens")
    @classmethod
    def _names_people(cls, tokens: SecretStr | None) -> SecretStr | None:
        words = tokens.get_secret_value().split() if tokens else []
        if not all(re.fullmatch(r"[\w.@+-]{1,64}=\S{16,}", word, re.ASCII) for word in words):
            raise ValueError("give name=token, the token with 16 characters or more")
        names = [word.partition("=")[0] for word in words]
        if len(names) > len(set(names)):
            raise ValueError("a name is given twice")
        return tokens

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for each in proxies:
            ip_network(each)
        return proxies
