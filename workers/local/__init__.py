"""Local servers for the demo and for tests, each a child process on 127.0.0.1."""

from kaption.workers.local.server import LocalServer, MissingServer, ServerError
from kaption.workers.local.servers import Tansu, Valkey

__all__ = ["LocalServer", "MissingServer", "ServerError", "Tansu", "Valkey"]
