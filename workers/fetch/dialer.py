"""Connects to a host at an address that was checked."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from kaption.schemas import Reason
from kaption.workers.fetch.addresses import AddressRules
from kaption.workers.fetch.failure import FetchFailure, failure_of
from kaption.workers.fetch.nat64 import Translators
from kaption.workers.fetch.resolver import Endpoint, Resolver
from kaption.workers.fetch.shared import Shared
from kaption.workers.fetch.target import Target
from kaption.workers.runtime.stage import Reject

CONNECT_TIMEOUT_S = 5.0
"""For one address: a host may have several, and the first one may not answer."""


@dataclass(frozen=True, slots=True)
class Dialer:
    """Looks names up, judges their addresses and connects. Any thread may call `dial`."""

    rules: AddressRules
    resolver: Resolver
    translators: Translators
    shared: Shared

    def dial(
        self, target: Target, deadline: float, lanes: set[str] | None
    ) -> tuple[socket.socket, str]:
        """A socket, and its address, for which the caller must call `shared.end`.

        Raises Reject (fetch_denied), FetchFailure and OSError. Raises Later if too many look-ups
        hang, and where `Shared.begin` does, which gets `lanes`.
        """
        endpoints = self._look_up(target, deadline, lanes)
        v6 = any(endpoint.family == socket.AF_INET6 for endpoint in endpoints)
        translated = self.translators.prefixes() if v6 else ()
        for endpoint in endpoints:
            refused = self.rules.refusal(endpoint.address, translated)
            if refused is not None:
                raise Reject(Reason.FETCH_DENIED, f"{target.host} is {endpoint.address}: {refused}")
        failed: Exception = OSError("the name has no address")
        for endpoint in endpoints:
            address = f"{endpoint.address} port {target.port}"
            try:
                self.shared.begin(address, target.host, lanes)
            except Reject as refusal:
                failed = FetchFailure(refusal, again=False, silent=True)
                continue
            try:
                return _connected(endpoint, deadline), address
            except OSError as error:
                failed = error
                failure = failure_of(error, target.host, answered=False)
                silent = isinstance(error, TimeoutError)
                self.shared.end(address, target.host, failure if silent else False)
        raise failed

    def _look_up(self, target: Target, deadline: float, lanes: set[str] | None) -> list[Endpoint]:
        host = target.host
        if ":" in host or host.rpartition(".")[2].isdigit():  # a numeric address
            return self.resolver.resolve(host, target.port, _left(deadline))
        servers = f"the name servers of {_domain(host)}"
        try:
            self.shared.begin(servers, host, lanes)
        except Reject as refusal:
            raise FetchFailure(refusal, again=False, silent=True) from refusal
        outcome: FetchFailure | bool = False
        try:
            endpoints = self.resolver.resolve(host, target.port, _left(deadline))
            outcome = True
        except TimeoutError as error:
            outcome = failure_of(error, host, answered=False)
            raise
        except socket.gaierror as error:
            outcome = error.errno != socket.EAI_AGAIN
            raise
        finally:
            self.shared.end(servers, host, outcome)
        return endpoints


def _connected(endpoint: Endpoint, deadline: float) -> socket.socket:
    sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        sock.settimeout(min(CONNECT_TIMEOUT_S, _left(deadline)))
        sock.connect(endpoint.sockaddr)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(_left(deadline))
    except OSError:
        sock.close()
        raise
    return sock


def _domain(host: str) -> str:
    """The last two labels of a name, or three below such as co.uk and com.br.

    A list of public suffixes would know the others. They cost a dead name server some tries more.
    """
    labels = host.split(".")
    registry = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return ".".join(labels[-3 if registry else -2 :])


def _left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError when it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("total time used up")
    return left
