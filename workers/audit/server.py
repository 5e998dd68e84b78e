"""One server of the audit. Any number may run: they share the topics and Redis."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from kaption.objectstore import open_store
from kaption.workers.audit.desk import AuditDesk, DeskParts
from kaption.workers.audit.index import AuditIndex
from kaption.workers.audit.log import AuditLog
from kaption.workers.settings import Settings, UserError
from kaption.workers.stores.claims import AuditClaims
from kaption.workers.stores.client import keyspace
from kaption.workers.stores.versions import Versions
from kaption.workers.wiring import build_masks, build_takedowns


@contextmanager
def open_desk(settings: Settings) -> Iterator[AuditDesk]:
    """A desk that has read the topics. Raises ReadError, Retry, Fatal."""
    index = AuditIndex(settings.audit.double_fraction)
    log = AuditLog(settings.kafka, index)
    desk = AuditDesk(
        DeskParts(
            log=log,
            index=index,
            claims=open_claims(settings),
            versions=Versions(*keyspace(settings.redis)),
            objects=open_store(settings.store),
            prefix=settings.sink.prefix,
            takedowns=build_takedowns(settings),
            masks=build_masks(settings),
        ),
        lambda: datetime.now(UTC),
    )
    try:
        log.catch_up()
        yield desk
    finally:
        desk.close()


def open_claims(settings: Settings) -> AuditClaims:
    """The claims in Redis."""
    return AuditClaims(*keyspace(settings.redis), settings.audit.claim_s)


def serve(settings: Settings, listening: Callable[[str], object]) -> None:
    """Serve the page until SIGTERM or Ctrl-C. `listening` is told the address.

    Raises UserError where nobody may log in, or the port cannot be used.
    """
    import uvicorn

    from kaption.workers.audit.app import AuditPages
    from kaption.workers.audit.login import Login

    policy = settings.audit
    if policy.tokens is None and policy.user_header is None:
        raise UserError("nobody may log in: set audit.tokens, or audit.user_header with a proxy")
    family = socket.AF_INET6 if ":" in policy.host else socket.AF_INET
    try:
        listener = socket.create_server((policy.host, policy.port), family=family)
    except OSError as error:
        raise UserError(
            f"audit.port {policy.port} of {policy.host} cannot be used ({error.strerror}): set "
            "another port (0 for any), or correct the host"
        ) from error
    with listener, open_desk(settings) as desk:
        config = uvicorn.Config(
            AuditPages(desk, Login(policy, open_claims(settings).key()), policy).app(),
            log_config=None,
            access_log=False,
            server_header=False,
            # Login reads the proxy's headers itself, and only those of the proxy.
            proxy_headers=False,
            timeout_graceful_shutdown=10,
        )
        host = f"[{policy.host}]" if ":" in policy.host else policy.host
        listening(f"http://{host}:{listener.getsockname()[1]}/")
        uvicorn.Server(config).run(sockets=[listener])
