"""Faults between a client and a server."""

from support.fault_proxy import Direction, FaultProxy

__all__ = ["Direction", "FaultProxy"]
