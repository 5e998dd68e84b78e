"""Faults between a client and a server."""

from faults.proxy import Direction, FaultProxy

__all__ = ["Direction", "FaultProxy"]
