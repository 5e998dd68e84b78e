"""Cookies of one image's redirects, kept and sent as browsers do (RFC 6265bis, 5.6 to 5.8).

http.cookiejar refuses a whole cookie for one attribute that it does not understand, such as
Max-Age="3600", an empty Domain or Version=2. The server then redirects without end.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from kaption.schemas.address import parsed
from kaption.workers.fetch.target import Target

_COOKIE_CHARS = 4 * 1024
"""Of a name and a value. Browsers keep no longer cookie."""
_ATTRIBUTE_CHARS = 1024
"""Browsers pass over longer values of attributes."""
_MOST = 180
"""Cookies that are kept of all redirects; Chromium keeps as many of a site."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SECONDS = re.compile(r"-?[0-9]{1,15}")
_DATE_BREAKS = re.compile(r"[\t\x20-\x2f;-@\[-`{-~]+")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(r"([0-9]{1,2})(?![0-9])")
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = re.compile(f"({'|'.join(_MONTHS)})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Cookie:
    domain: str
    path: str
    name: str
    value: str
    exact: bool
    """Whether it is for this host alone, and not for the hosts below it."""
    secure: bool

    def fits(self, target: Target) -> bool:
        """Whether a request for this target carries it."""
        path, below = target.path.partition("?")[0], self.path.rstrip("/") + "/"
        return (
            (target.host == self.domain or (not self.exact and _is_below(target.host, self.domain)))
            and (path == self.path or path.startswith(below))
            and (target.scheme == "https" or not self.secure)
        )


class Cookies:
    """Cookies that redirects set. One thread at a time uses them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], _Cookie] = {}

    def take(self, target: Target, headers: Iterable[tuple[str, str]]) -> None:
        """Keep what the headers of this target's answer set. Their names are in lower case."""
        for name, value in headers:
            cookie, ends = _read(target, value) if name == "set-cookie" else (None, 0.0)
            if cookie is None:
                continue
            key = (cookie.domain, cookie.path, cookie.name)
            if ends <= time.time():
                self._kept.pop(key, None)
            elif key in self._kept or len(self._kept) < _MOST:
                self._kept[key] = cookie

    def header(self, target: Target) -> str:
        """The Cookie header of a request for this target; empty if it has none."""
        fitting = [cookie for cookie in self._kept.values() if cookie.fits(target)]
        fitting.sort(key=lambda cookie: -len(cookie.path))
        return "; ".join(f"{each.name}={each.value}".removeprefix("=") for each in fitting)


def _read(target: Target, header: str) -> tuple[_Cookie | None, float]:
    """A cookie and the Unix time of its end. None: browsers do not take it."""
    pair, *rest = header.split(";")
    name, equals, value = (part.strip(" \t") for part in pair.partition("="))
    if not equals:
        name, value = "", name
    said: dict[str, list[str]] = {}
    for part in rest:
        attribute, _, given = (each.strip(" \t") for each in part.partition("="))
        if len(given) <= _ATTRIBUTE_CHARS:
            said.setdefault(attribute.lower(), []).append(given)
    secure = "secure" in said
    domain = _domain(target.host, (said.get("domain") or [""])[-1])
    unfit = domain is None or _CONTROL.search(header) or (secure and target.scheme != "https")
    if unfit or not 0 < len(name + value) <= _COOKIE_CHARS:
        return None, 0.0
    path = (said.get("path") or [""])[-1]
    if not path.startswith("/"):
        path = target.path.partition("?")[0].rpartition("/")[0] or "/"
    cookie = _Cookie(domain or target.host, path, name, value, not domain, secure)
    return cookie, _end(said)


def _domain(host: str, given: str) -> str | None:
    """The host that a cookie is for with all below it; empty for this host alone; None for others.

    There is no list of public suffixes here. A cookie for all of co.uk reaches only the servers of
    this image's redirects.
    """
    given = given.removeprefix(".")
    if not given:
        return ""
    read = parsed(f"https://{given}")
    domain = read.host.strip("[]") if read else ""
    if domain == host:
        return domain if "." in domain else ""
    return domain if "." in domain and _is_below(host, domain) else None


def _is_below(host: str, domain: str) -> bool:
    return host.endswith(f".{domain}")


def _end(said: dict[str, list[str]]) -> float:
    """Unix time. What is no number or no date counts as not said; Max-Age goes before Expires."""
    ages = [given for given in said.get("max-age", ()) if _SECONDS.fullmatch(given)]
    if ages:
        return time.time() + int(ages[-1])
    dates = [date for given in said.get("expires", ()) if (date := _date(given)) is not None]
    return dates[-1] if dates else float("inf")


def _date(text: str) -> float | None:
    """Unix time of a date in any order of its parts (RFC 6265bis, 5.1.1)."""
    found: dict[re.Pattern[str], re.Match[str]] = {}
    for token in _DATE_BREAKS.split(text):
        for form in (_CLOCK, _DAY, _MONTH, _YEAR):
            if form not in found and (match := form.match(token)):
                found[form] = match
                break
    if len(found) < 4:
        return None
    year, day = int(found[_YEAR][1]), int(found[_DAY][1])
    month = _MONTHS.index(found[_MONTH][1].lower()) + 1
    if year < 100:
        year += 1900 if year >= 70 else 2000
    try:
        hour, minute, second = map(int, found[_CLOCK].groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None
