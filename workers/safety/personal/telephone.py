"""Telephone numbers: international ones, those after a word, and national ones as people write."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kaption.workers.safety.personal.folded import Span

MARK = "[telephone]"

_LEAST_DIGITS = 7
_LONG = 10
_NUMBER = r"[+(]{0,2}\d[\d\s()./-]{5,22}\d"
_WORDS = (
    *("tel", "tél", "telephone", "phone", "mobile", "mob", "cell", "call", "fax", "hotline"),
    *("whatsapp", "my number", "whats app", "viber", "text us", "ph", "gsm", "wechat", "sms"),
    *("telefon", "telefonnummer", "handy", "mobil", "rufnummer", "anrufen", "mobiltelefon"),
    *("téléphone", "telephone", "portable", "appelez", "appeler", "appelez-nous", "teléfono"),
    *("telefono", "móvil", "celular", "llame", "llámenos", "llámanos", "llamar", "tfno", "tlfno"),
    *("telefone", "fone"),
    *("telemóvel", "ligue", "contato", "cellulare", "chiama", "chiamare", "chiamaci"),
    *("telefoon", "mobiel", "tlf", "telefonnr", "ring oss", "mobilnummer", "puh"),
    *("puhelin", "gsm", "tfn", "telefonszám", "telefón", "tel.č", "zadzwoń", "komórka"),
    *("тел", "телефон", "моб", "звоните", "звонить", "факс", "вайбер", "ватсап", "дзвоніть"),
    *("τηλ", "τηλέφωνο", "κιν", "κινητό", "φαξ", "हॉटलाइन", "फोन", "फ़ोन", "मोबाइल", "संपर्क"),
    *("ফোন", "মোবাইল", "தொலைபேசி", "هاتف", "تليفون", "جوال", "موبايل", "واتساب", "اتصل", "تلفن"),
    *("موبایل", "تماس", "טל", "טלפון", "נייד", "điện thoại", "đt", "sđt", "liên hệ", "gọi"),
    *("telepon", "telp", "hubungi", "telefonu", "cep"),
)
_DOUBTFUL = ("ring", "ruf", "cel", "bel", "kom", "hp", "wa", "ara", "llama", "kontakt", "contact")
"""Words that mean something else as well: a colon or stop follows, or a number with 0 or +."""
_SPACELESS = (
    "電話|电话|手机|手機|携帯|热线|熱線|致电|致電|전화|연락처|휴대폰|핸드폰|문의|โทร|เบอร์"
    "|\u260e|\u260f|\u2706|\U0001f4de|\U0001f4f1"
)
_AFTER_WORD = re.compile(
    rf"(?:(?<!\w)(?:{'|'.join(map(re.escape, sorted(set(_WORDS), key=len, reverse=True)))})(?!\w)"
    rf"|(?<!\w)(?:{'|'.join(_DOUBTFUL)})(?:[.:]|(?= [0+(]))|(?<!\w)[tmpf]:"
    rf"|{_SPACELESS})(?:[\s.:;)#/\ufe0f-]|n[°ºor]\.?|is\b|nummer|番号|号码|號碼|ศัพท์|번호|number|no\b"
    rf"|us\b|at\b|on\b|me\b|al\b|au\b|unter\b|para\b){{0,6}}({_NUMBER})",
    re.IGNORECASE,
)
_NATIONAL = re.compile(
    # 01 23 45 67 89, (0)30 ..., 090-1234-5678, 0171/1234567
    r"(?<![\w+.,/:-])(?<!\d )(?=(?:\W{0,2}\d){9})(?:\(0\d{1,4}\)|0\d{1,4})"
    r"[\s./-]{1,2}\d{2,4}(?:[\s.-]\d{2,4}){1,4}(?![\w/-]|[.,]\d)"
    # 0171/1234567
    r"|(?<![\w+.,/:-])0\d{2,4}/\d{5,8}(?![\w/-]|[.,]\d)"
    # (212) 555-0123, 212-555-0123, 212.555.0123
    r"|(?<![\w+.,/:-])(?:1[-. ])?(?:\([2-9]\d\d\) ?\d{3}-|[2-9]\d\d([-.])[2-9]\d\d\1)\d{4}"
    r"(?![\w/-]|[.,]\d)"
    # (11) 91234-5678, 8 (495) 123-45-67
    r"|(?<![\w+.,/:-])(?:8 ?)?\(\d{2,4}\) ?\d{3,5}-\d{2}-?\d{2}(?![\w/-]|[.,]\d)"
)
_PRODUCT = re.compile(
    r"(?<!\w)(?:model|modell|modelo|modèle|part|parts|art|artikel|article|ref|réf|sku|item|isbn|issn|ean"
    r"|upc|gtin|oem|lot|serial|s/n|p/n|no|nr|n[°º]|code|id|order|type|typ|number|номер|арт|артикул|型号|品番"
    r"|tracking|cat|catalogue|catalog|patent|invoice|bestell-nr|reg|loco|locomotive)\W{1,3}$",
    re.IGNORECASE,
)
"""Words before a number that is none of a telephone."""
_AMERICAN = re.compile(r"\([2-9]\d\d\) ?\d{3}-\d{4}(?!\d)")
_LOCAL = re.compile(r"(?:\d{3}[ .-])?\d{3}[ .-]\d{4}(?!\d)")
_DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b|\d{4}[./-]\d{1,2}[./-]\d{1,2}\b")
_REGIONS = (
    *("US", "GB", "DE", "FR", "IT", "ES", "NL", "BE", "AT", "CH", "PL", "SE", "DK", "NO", "FI"),
    *("CZ", "HU", "PT", "GR", "RO", "BG", "UA", "RU", "TR", "IL", "AE", "SA", "EG", "MA", "ZA"),
    *("NG", "KE", "IN", "PK", "BD", "CN", "TW", "HK", "JP", "KR", "TH", "VN", "ID", "MY", "SG"),
    *("PH", "AU", "NZ", "BR", "AR", "MX", "CL", "CO", "PE", "IE", "IR", "DZ", "LK", "HR", "SK"),
)
"""Regions whose national numbers are known: those of most pages, of all continents."""


def find(text: str) -> Iterator[Span]:
    """Where telephone numbers are in a folded text."""
    if sum(map(str.isdigit, text)) < _LEAST_DIGITS:
        return
    import phonenumbers

    if "+" in text or "00" in text:
        # 0049 30 ... is how Europeans write +49 30 ...
        plus = re.sub(r"(?<![\w+.,-])(?<!\d )00(?=[1-9]\d)", " +", text)
        leniency = phonenumbers.Leniency
        for match in phonenumbers.PhoneNumberMatcher(plus, None, leniency=leniency.POSSIBLE):
            # A plus and ten digits say enough: numbers of films, such as +1 555 ..., are not valid.
            given = text[match.start : match.end]
            long = "+" in given and sum(map(str.isdigit, given)) >= _LONG
            if long or phonenumbers.is_valid_number(match.number):
                yield match.start - text.startswith("00", match.start - 1), match.end
    for found in _AFTER_WORD.finditer(text):
        if not _DATE.match(found[1]) and (end := _valid_end(found[1])):
            yield found.start(1), found.start(1) + end
    for found in _NATIONAL.finditer(text):
        before = text[max(0, found.start() - 24) : found.start()]
        if not _PRODUCT.search(before) and (_AMERICAN.match(found[0]) or _grouped(found[0])):
            yield found.span()


def _valid_end(number: str) -> int:
    """Where the number ends that the text begins with; 0 if it is none in any region."""
    import phonenumbers

    for region in _REGIONS:
        for match in phonenumbers.PhoneNumberMatcher(number.replace("/", "-"), region):
            if match.start <= 1:
                return match.end
    american = _AMERICAN.match(number) or _LOCAL.match(number)
    return american.end() if american else 0


def _grouped(number: str) -> bool:
    """Whether it is valid in a region, with the groups that are usual there."""
    import phonenumbers

    # Nobody groups the digits after a slash.
    leniency = phonenumbers.Leniency
    least = leniency.VALID if "/" in number else leniency.EXACT_GROUPING
    for region in _REGIONS:
        for match in phonenumbers.PhoneNumberMatcher(number, region, leniency=least):
            if match.end - match.start >= len(number) - 1:
                return True
    return False
