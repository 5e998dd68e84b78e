"""Refuses answers of a model that hold more than a caption: thoughts, lead-ins, Markdown, JSON."""

# ruff: noqa: RUF001  # typographic and CJK punctuation is what models write

from __future__ import annotations

import re

from kaption.schemas import Caption, CheckResult
from kaption.workers.checks.check import GENERATED
from kaption.workers.text.replies import LEAD_IN, MARK, THOUGHT, without_end
from kaption.workers.text.tails import is_tail

# The captioner `transformers` strips what it can. This is what remains, and what captioners of
# users bring.
_NO_CAPTION = re.compile(
    r"""
      </?(?:think|thinking|thoughts?|reasoning|answer|seed:think)>|◁/?think▷
    | \A\W*(?:okay|ok|alright|hmm+|wait|well|so|first|now|got\ it|let['’]s\ see)\b,?\s+
        (?:so\b,?\s+)?(?:the\ user|i\b|i['’]|we\b|let\ me\b|let['’]s\b|looking\ at|here\b
        |this\ is\ (?:a\ )?request)
    | \A\W*(?:let\ me\b|let['’]s\b|i\ (?:need|have|should|will|must|want|see|think|can)\b
        |i['’](?:ll|m|d|ve)\b|we\ (?:need|have|are|should|must)\b|my\ task\b|as\ requested\b
        |as\ an?\ (?:ai|(?:large\ |vision\ )?language)\b
        |to\ (?:describe|caption)\ (?:this|the)\b|based\ on\ (?:the|this|your)\ (?:image|picture
        |photo|prompt|request))
    | \A\W*hmm+\b
    | \blet\ me\ (?:write|describe|try|think|see|check|start|craft|look|rephrase|count|draft)\b
    | ["”’]\s*[-–—]\s*(?:an?|the|my)\ [\w ]{0,20}\b(?:caption|description)\b
    | \bthe\ user\ (?:wants?|asks?|asked|is\ asking|provided|gave|says|said|requests?)\b
    | \A\W*(?:sure|certainly|of\ course|absolutely)\b(?:\s*[!,.:]|\s+[-–—])
    | \A\W*(?:here(?:['’]s|\ is|\ are)|below\ is)\b[^.]{0,80}
        \b(?:caption|description|alt[- ]?text|answer|response|option|sentence)s?\b
    | \A\W*(?:thinking(?:\ process)?|thoughts?|reasoning|analysis|chain\ of\ thought
        |step\ (?:\d+|one)|analy[sz]ing\ the\ (?:image|picture|photo))\b\W{0,4}(?::|\d\.)
    | \A\W*(?:用户|好的?[，,]我?|当然[，,！!]|让我|嗯[，,]|首先[，,](?:用户|我))
    | \A\W*(?:ich\ (?:denke|glaube|sehe)|je\ (?:pense|vois|crois)|creo\ que|veo\ un|penso\ che)\b
    | \b(?:let\ me\ know\ if|i\ hope\ this\ helps|would\ you\ like\ me\ to|feel\ free\ to\ ask)\b
    | ```|\\(?:boxed|text)\b|\*\*\S|\S\*\*
    | \A\s*\#{1,6}\s|\A\s*[-*+•]\s|!?\[[^\]]*\]\([^)]*\)|\A\s*\|.*\|
    | \A\s*[{\[]\s*(?:["'{\[]|\Z)|"\s*:\s*["\[{]
    """,
    re.IGNORECASE | re.VERBOSE,
)

_USERS = r"""
der (?:nutzer|benutzer|user)|die nutzerin|l['’]utilisateur|el usuario|la usuaria|o usuário
o utilizador|l['’]utente|de gebruiker|użytkownik|uživatel|používateľ|användaren|brugeren|brukeren
käyttäjä|a felhasználó|utilizatorul|kullanıcı|pengguna|người dùng|пользователь|користувач
потребителят|ο χρήστης|المستخدم|کاربر|המשתמש|उपयोगकर्ता
"""
_WANTS = r"""
möchte|will|bittet|fragt|wünscht|braucht|veut|demande|souhaite|aimerait|quiere|pide|solicita|desea
quer|pede|pediu|deseja|vuole|chiede|chiesto|desidera|wil|vraagt|chce|prosi|žádá|vill|vil|ber
haluaa|pyytää|szeretne|kér|vrea|dorește|istiyor|ingin|meminta|mau|muốn|yêu cầu|хочет|просит|хоче
просить|иска|θέλει|ζητά|يريد|يطلب|می.?خواهد|רוצה|מבקש|चाहता|चाहते
"""
_THINKS = re.compile(
    rf"\A\W*(?:[^\s,.!，]{{1,15}}[,，]\s*)?(?:(?:{'|'.join(_USERS.split(chr(10))[1:-1])})\b"
    rf"[^.!?\n]{{0,60}}(?<!\w)(?:{'|'.join(_WANTS.split(chr(10))[1:-1])})(?!\w)"
    r"|ユーザー(?:は|が|から)[^。]{0,40}(?:求め|望|希望|依頼|要求|ほし|欲し|たい)"
    r"|사용자(?:가|는|님)[^.]{0,40}(?:원하|원합|요청|요구|바라|바랍)"
    r"|(?:用户|用戶|使用者)(?:想|要|希望|请|請|需要|让|讓)|ผู้ใช้(?:ต้องการ|ขอ|อยาก))",
    re.IGNORECASE,
)
"""A thought about the user who asked, in other languages than English."""
_TAG = re.compile(f"{THOUGHT}|{MARK}", re.IGNORECASE)


class ProseCheck:
    """Passes captions of models that are plain sentences, and all texts of people and of rules."""

    name = "prose"

    def check(self, caption: Caption) -> CheckResult:
        """Look for the first sign of anything but a caption."""
        generated = caption.kind in GENERATED
        found = _first_sign(caption.text) if generated else ""
        detail = f"not a plain caption: {found[:60]!r}" if found else ""
        return CheckResult(name=self.name, passed=not found, detail=detail)


def _first_sign(text: str) -> str:
    found = _NO_CAPTION.search(text) or _THINKS.match(text) or LEAD_IN.match(text)
    if found := found or _TAG.search(text):
        return found[0]
    if is_tail(text):
        return text
    return text[len(without_end(text)) :]


build = ProseCheck
