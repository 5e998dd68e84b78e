"""The servers of the embedded stack, each one child process on 127.0.0.1."""

from kaption.workers.local.binary import MissingServer
from kaption.workers.local.process import ServerError
from kaption.workers.local.server import LocalServer
from kaption.workers.local.tansu import Tansu
from kaption.workers.local.valkey import Valkey

__all__ = ["LocalServer", "MissingServer", "ServerError", "Tansu", "Valkey"]
