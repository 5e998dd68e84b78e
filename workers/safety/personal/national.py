"""Numbers of identity cards, of tax payers and of the insured, by their check digits."""

# ruff: noqa: RUF001  # words of many scripts

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

from kaption.workers.safety.personal.folded import Span

MARK = "[ID number]"

_SHAPES: dict[str, str] = {
    # Numbers with letters, a date or dots in fixed places and check digits. Others seldom look so.
    "it.codicefiscale": r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]",
    "mx.curp": r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z\d]\d",
    "es.nie": r"[XYZ]-?\d{7}-?[A-Z]",
    "es.dni": r"\d{8}-[A-Z]|\d\d\.\d{3}\.\d{3}-?[A-Z]",
    "in_.pan": r"[A-Z]{3}P[A-Z]\d{4}[A-Z]",
    "fr.nir": r"[12] ?\d\d ?[01]\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d",
    "cn.ric": r"[1-8]\d{5}(?:19|20)\d{2}[01]\d[0-3]\d{4}[\dXx]",
    "kr.rrn": r"\d{6}-\d{7}",
    "se.personnummer": r"(?:\d\d)?\d{6}[-+]\d{4}",
    "fi.hetu": r"\d{6}[-+A-FU-Y]\d{3}[\dA-Y]",
    "no.fodselsnummer": r"[0-3]\d[01]\d{3} ?\d{5}",
    "be.nn": r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d",
    "cz.rc": r"\d{6}/\d{3,4}",
    "br.cpf": r"\d{3}\.\d{3}\.\d{3}-\d\d",
    "cl.rut": r"\d{1,2}\.\d{3}\.\d{3}-[\dKk]",
    "ar.cuit": r"(?:20|2[347])-\d{8}-\d",
    "th.pin": r"\d-\d{4}-\d{5}-\d\d-\d",
    "ch.ssn": r"756\.?\d{4}\.?\d{4}\.?\d\d",
    "my.nric": r"\d{6}-\d\d-\d{4}",
    "us.ssn": r"(?!9)\d{3}-\d\d-\d{4}",
}
_NAMED: dict[str, tuple[str, str]] = {
    # Numbers of digits alone, and short codes: a word before them must say what they are.
    "pl.pesel": (r"PESEL", r"\d{11}"),
    "ro.cnp": (r"CNP", r"\d{13}"),
    "bg.egn": (r"ЕГН|EGN", r"\d{10}"),
    "hr.oib": (r"OIB", r"\d{11}"),
    "lt.asmens": (r"asmens kodas|a\. ?k\.", r"\d{11}"),
    "ee.ik": (r"isikukood", r"\d{11}"),
    "nl.bsn": (r"BSN|burgerservicenummer|sofinummer", r"\d{9}|\d{4}\.\d\d\.\d{3}"),
    "dk.cpr": (r"CPR(?:[- ]?n(?:umme)?r\.?)?", r"\d{6}-?\d{4}"),
    "de.idnr": (r"Steuer-?ID|IdNr\.?|Identifikationsnummer", r"\d{2} ?\d{3} ?\d{3} ?\d{3}"),
    "at.vnr": (r"SVNR|SV-Nummer|Sozialversicherungsnummer", r"\d{4} ?\d{6}"),
    "gr.amka": (r"ΑΜΚΑ|AMKA", r"\d{11}"),
    "tr.tckimlik": (r"T\.?C\.?(?: Kimlik)?(?: No)?|Kimlik No", r"\d{11}"),
    "il.idnr": (r"ת\.?ז\.?|תעודת זהות|Teudat Zehut", r"\d{9}"),
    "za.idnr": (r"ID(?: number| no\.?)?", r"\d{13}"),
    "in_.aadhaar": (r"Aadhaar|Aadhar|आधार", r"\d{4}[ -]?\d{4}[ -]?\d{4}"),
    "gb.nhs": (r"NHS", r"\d{3}[ -]?\d{3}[ -]?\d{4}"),
    "ca.sin": (r"SIN|NAS|Social Insurance", r"\d{3}[ -]?\d{3}[ -]?\d{3}"),
    "au.tfn": (r"TFN|Tax File", r"\d{3} ?\d{3} ?\d{3}"),
    "ie.pps": (r"PPSN?", r"\d{7}[A-Z]{1,2}"),
    "es.dni": (r"DNI|NIF", r"\d{8}[ -]?[A-Z]"),
    "br.cpf": (r"CPF", r"\d{11}"),
    "cl.rut": (r"RU[TN]", r"\d{7,8}-?[\dKk]"),
    "us.ssn": (r"SSN|social security", r"\d{3}[- ]?\d\d[- ]?\d{4}"),
    "pt.cc": (r"CC|Cartão de Cidadão", r"\d{8} ?\d ?[A-Z]{2}\d"),
    "ec.ci": (r"C\.?I\.?|cédula", r"\d{10}"),
    "id.nik": (r"NIK|KTP", r"\d{16}"),
    "se.personnummer": (r"personn(?:umme)?r", r"(?:\d\d)?\d{10}"),
    "th.pin": (r"เลขประจำตัวประชาชน|บัตรประชาชน", r"\d{13}"),
    "kr.rrn": (r"주민등록번호", r"\d{13}"),
    "ru.inn": (r"ИНН|INN", r"\d{12}"),
    "ua.rntrc": (r"РНОКПП|ІПН|ідентифікаційний (?:код|номер)", r"\d{10}"),
    "jp.in_": (r"マイナンバー|個人番号|My Number", r"\d{4}[ -]?\d{4}[ -]?\d{4}"),
    "si.emso": (r"EMŠO|EMSO|JMBG|ЈМБГ|ЕМБГ", r"\d{13}"),
    "lv.pvn": (r"personas kods", r"\d{6}-?\d{5}"),
    "pk.cnic": (r"CNIC|NIC|شناختی کارڈ", r"\d{5}-?\d{7}-?\d"),
    "do.cedula": (r"cédula|cedula", r"\d{3}-?\d{7}-?\d"),
    "ve.rif": (r"RIF", r"[VE]-?\d{8}-?\d"),
}
_BETWEEN = r"(?:[\s.:#°º-]|number|nummer|número|numéro|no\b|nr\b|n\b|номер|番号|numarası){0,6}"
_EDGE = r"(?<![\w.,/+-])", r"(?![\w/]|[.,-]\w)"


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], Any], ...]:
    before, after = _EDGE
    shaped = {name: rf"{before}(?P<number>{shape}){after}" for name, shape in _SHAPES.items()}
    named = [
        (name, rf"(?i:(?<!\w)(?:{word}){_BETWEEN})(?P<number>{shape}){after}")
        for name, (word, shape) in _NAMED.items()
    ]
    return tuple(
        (re.compile(pattern), import_module(f"stdnum.{name}"))
        for name, pattern in (*shaped.items(), *named)
    )


def find(text: str) -> Iterator[Span]:
    """Where such numbers are in a folded text."""
    if sum(map(str.isdigit, text)) < 4:
        return
    for pattern, kind in _patterns():
        for found in pattern.finditer(text):
            if kind.is_valid(found["number"]):
                yield found.span("number")
