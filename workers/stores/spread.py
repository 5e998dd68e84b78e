"""Claims on the bytes of images, spread over several Redis servers."""

from __future__ import annotations

from collections.abc import Sequence

from kaption.schemas import Position
from kaption.workers.stores.exact import ExactClaims


class SpreadClaims:
    """Gives each sha256 a home among the servers; one more server takes its share of new claims.

    Claims never move. A sha256 was at home elsewhere before servers were added, so its former homes
    are asked first. A server that was asked by a worker which knows more servers refuses workers
    that know fewer (`ExactClaims`), so no image gets an owner at an old home after it was looked up
    there. Raises Retry when a server that is needed is down.
    """

    def __init__(self, servers: Sequence[ExactClaims]) -> None:
        self._servers = servers

    def holders(self, sha256s: Sequence[str]) -> list[Position | None]:
        """The owner of each sha256, or None. Claims nothing."""
        return self._held(sha256s, [homes(each, len(self._servers)) for each in sha256s])

    def claim(self, sha256s: Sequence[str], owners: Sequence[Position]) -> list[Position]:
        """Claim each sha256. Returns its owner: the given one, or an earlier one.

        Of two equal hashes in one call the first gets the claim.
        """
        places = [homes(each, len(self._servers)) for each in sha256s]
        holders = self._held(sha256s, [former for *former, _ in places])
        for number, server in enumerate(self._servers):
            free = [
                at for at, home in enumerate(places) if home[-1] == number and holders[at] is None
            ]
            claimed = server.claim([sha256s[at] for at in free], [owners[at] for at in free])
            for at, holder in zip(free, claimed, strict=True):
                holders[at] = holder
        return [holder for holder in holders if holder is not None]

    def forget(self, held: Sequence[tuple[str, Position | None]], *, dry_run: bool) -> int:
        """Remove the claims on these sha256 that these owners hold; None: whoever holds it."""
        places = [homes(sha256, len(self._servers)) for sha256, _ in held]
        return sum(
            server.forget(
                [each for each, home in zip(held, places, strict=True) if number in home],
                dry_run=dry_run,
            )
            for number, server in enumerate(self._servers)
        )

    def _held(
        self, sha256s: Sequence[str], places: Sequence[Sequence[int]]
    ) -> list[Position | None]:
        """The owner of each sha256 on the servers at these places, or None."""
        found: list[Position | None] = [None] * len(sha256s)
        for number, server in enumerate(self._servers):
            asked = [at for at, home in enumerate(places) if number in home]
            holders = server.holders([sha256s[at] for at in asked])
            for at, holder in zip(asked, holders, strict=True):
                found[at] = found[at] or holder
        return found


def homes(sha256: str, servers: int) -> list[int]:
    """Where the sha256 was at home as servers were added, one by one. The last one is its home now.

    A new server takes an equal share from each earlier one. (Lamping, Veach: A fast, minimal
    memory, consistent hash algorithm, 2014.)
    """
    key, found, at = int.from_bytes(bytes.fromhex(sha256)[16:24], "big"), list[int](), 0
    while at < servers:
        found.append(at)
        key = (key * 2862933555777941757 + 1) % (1 << 64)
        at = (at + 1) * (1 << 31) // ((key >> 33) + 1)
    return found
