"""Getting an image from a URL nobody vouches for."""

from __future__ import annotations

from dataclasses import dataclass

from workers.policy import FetchPolicy


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body, after any content encoding was removed."""

    data: bytes
    final_url: str
    """After redirects."""
    media_type: str
    """What the server claims, lower case and without parameters; may be empty or wrong."""


class Fetcher:
    """Fetches URLs over http and https; thread-safe, blocking, no proxies, no cookies."""

    def __init__(self, policy: FetchPolicy) -> None:
        self._policy = policy

    def fetch(self, url: str) -> Fetched:
        """Get one body, trying again after transient failures.

        Raises Reject: fetch_denied (scheme, user info, an address of a denied network),
        fetch_timeout, fetch_status, too_large, or fetch_failed (everything else), with a detail
        that names host and status. Nothing else is raised.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Stop the threads; fetches under way fail."""
