"""Threads in which the code of a stage runs."""

from __future__ import annotations

import threading
from threading import Thread


class StageThread(Thread):
    """A thread that calls a stage, which may be in C++ for minutes. Nothing can end such a call.

    A worker that leaves may have to leave the thread behind. Python does not wait for it, because
    it is a daemon. But Python aborts the process if the thread comes back from C++ while Python
    ends, as each call of torch does. So the program asks for `left_behind` before it ends.
    """

    @staticmethod
    def left_behind() -> list[str]:
        """The names of those that are still at work."""
        return [each.name for each in threading.enumerate() if isinstance(each, StageThread)]
