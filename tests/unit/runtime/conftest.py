"""Fixtures of the tests of a worker."""

from support.worker_rig import kafka, run

__all__ = ["kafka", "run"]
