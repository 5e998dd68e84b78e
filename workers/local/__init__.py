"""The servers of the embedded stack, each one child process on 127.0.0.1."""

from workers.local.apache_kafka import ApacheKafka, Listener
from workers.local.binary import MissingServer
from workers.local.process import ServerError
from workers.local.seaweedfs import SeaweedFs
from workers.local.server import LocalServer
from workers.local.tansu import Tansu
from workers.local.valkey import Valkey

__all__ = [
    "ApacheKafka",
    "Listener",
    "LocalServer",
    "MissingServer",
    "SeaweedFs",
    "ServerError",
    "Tansu",
    "Valkey",
]
