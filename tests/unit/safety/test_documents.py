"""Documents are known by the lines that machines read, and by titles, fields and headings."""

import random
import sys
from io import BytesIO

import pytest
from pydantic import ValidationError

from kaption.connections.errors import Fatal
from kaption.schemas import OcrText, Reason
from kaption.workers.models.ocr import RapidOcr
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.documents import DocumentCheck, Documents, document_score
from kaption.workers.safety.machine_lines import has_machine_lines
from kaption.workers.safety.policy import DocumentPolicy
from support.ingest_bench import Bench, emitted, image_bytes, raw, reasons
from tools.evaluate.papers import PAPERS, photographed

# The specimens of ICAO Doc 9303.
PASSPORT = (
    "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
    "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
)
CARD = (
    "I<UTOD231458907<<<<<<<<<<<<<<<",
    "7408122F1204159UTO<<<<<<<<<<<6",
    "ERIKSSON<<ANNA<MARIA<<<<<<<<<<",
)
VISA = ("V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "L8988901C4XXX4009078F96121096ZE184226B<<<<<<")


@pytest.mark.parametrize(
    "lines",
    [
        PASSPORT,
        CARD,
        VISA,
        ("\n".join(CARD),),
        ("PASSPORT", "Utopia", PASSPORT[1].lower()),
        (" ".join(PASSPORT[1]),),
        (PASSPORT[1].replace("<", "«"),),
        ("P<UT0ERIKSS0N<<ANNA<<<<<<<<<<<<", "L8989O2C36UT07408122F12O4I59<<<<<<<<"),  # as OCR reads
        (PASSPORT[1][:-2],),  # OCR loses the end of a row of <
    ],
)
def test_documents_of_each_format_are_known(lines: tuple[str, ...]) -> None:
    assert has_machine_lines(lines)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("PASSPORT", "Identity card of the Kingdom"),
        ("L898902C37UTO7408122F1204159ZE184226B<<<<<10",),  # a wrong check digit
        (CARD[1],),  # dates alone
        ("ISBN 978-3-16-148410-0", "4006381333931 4006381333931 4006381333931"),
        ("if (a << 2 && b << 3) return <<< EOF >>> a << b << c;",),
    ],
)
def test_other_texts_are_none(lines: tuple[str, ...]) -> None:
    assert not has_machine_lines(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("AJOKORTTI/1. VIRTANEN/2. AINO/3. 01.02.1980/4b. 01.02.2030/5. 1234", "identity"),
        (
            "KARTU TANDA PENDUDUK/NIK: 317/Nama: BUDI/Tanggal Lahir: 17-08-1990/Alamat: JL. A 1"
            "/Jenis Kelamin: L/Warganegara: WNI",
            "identity",
        ),
        (
            "TÜRKİYE KİMLİK KARTI/Soyadi Surname: YILMAZ/Adi: ALİ/Doğum Tarihi: 01.01.1990"
            "/Son Geçerlilik: 01.01.2033/Uyruğu: T.C./Cinsiyeti: E",
            "identity",
        ),
        ("FLORIDA DRIVER LICENSE/DL A12/DOB 01-02-1980/EXP 01-02-2030/SEX F/HGT 5", "identity"),
        ("CV/Erfaring 2010 - 2014/Uddannelse/2005-2010 Skole/Sprog/Kompetencer/Profil", "cv"),
        (
            "Aino Virtanen/Työkokemus/2015 - nyt Kauppa/2010-2015 Kahvila/Koulutus/Kielitaito/"
            "Taidot/Profiili",
            "cv",
        ),
        ("履歴書/学歴/2001-2004 高校/職歴/2005-現在 会社/資格", "cv"),
    ],
)
def test_documents_and_cvs_of_other_languages_are_known_by_their_words(
    text: str, reason: str
) -> None:
    score = document_score([OcrText(text=line) for line in text.split("/")])

    assert score._asdict()[reason] == max(score) > 0.5


@pytest.mark.parametrize(
    "text",
    [
        "Renew your passport before 01.05.2026\nOffices close on 02.05.2026",
        "Surname\nGiven names\nDate of birth\nNationality\nSex\nPassport application",
        "Education\nSkills\nLanguages\nExperience\nJobs of the week",
        "1990 - 1995 first shop\n1995 - 2001 second shop\nOur history",
        "1. Wash\n2. Peel\n3. Cut\n4. Cook\n5. Serve\n01.02.2024",
        "Curriculum of the school 2020 - 2024\nEducation for all",
        "The driving licence test changed on 01.01.2024 and will change again on 01.01.2026",
        "Name: Rex\nBorn: 12.03.2020\nBreed: beagle\nSex: M",
    ],
)
def test_texts_about_documents_and_empty_forms_are_none(text: str) -> None:
    assert max(document_score([OcrText(text=line) for line in text.splitlines()])) <= 0.5


def test_a_refused_document_rejects_the_pair_and_tells_nothing_of_it() -> None:
    lines = [OcrText(text=text) for text in PASSPORT]

    DocumentCheck(None).refuse(lines)
    with pytest.raises(Reject) as refused:
        DocumentCheck(0.5).refuse(lines)
    assert refused.value.reason is Reason.IDENTITY_DOCUMENT
    assert "L898902C3" not in refused.value.detail


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "reason"),
    [("driving licences", Reason.IDENTITY_DOCUMENT), ("CVs", Reason.CV)],
)
def test_ingest_scores_images_and_refuses_documents_before_they_are_stored(
    bench: Bench, kind: str, reason: Reason
) -> None:
    # Given a rendered document
    drawn, file = random.Random(7), BytesIO()
    photographed(PAPERS[kind](drawn), drawn).save(file, "PNG")
    scoring, strict = (
        bench.stage(image_checks=[Documents(DocumentPolicy(action="score", most=most), RapidOcr)])
        for most in (None, 0.5)
    )

    # When it comes where a limit is set, and where none is
    refused = bench.run(raw(file.getvalue(), 0), stage=strict)
    (kept,) = bench.run(raw(file.getvalue(), 1), stage=scoring)
    (harmless,) = bench.run(raw(image_bytes(80), 2), stage=strict)

    # Then
    assert reasons(refused) == [reason]
    assert (emitted(kept).image.document or 0) > 0.5
    assert emitted(harmless).image.document == 0


def test_a_missing_package_and_a_limit_without_scores_are_clear_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)

    with pytest.raises(Fatal, match=r"rapidocr .*kaption\[ocr\]"):
        Documents(DocumentPolicy(action="score"), RapidOcr).setup()
    with pytest.raises(ValidationError, match="action = score"):
        DocumentPolicy(most=0.5)
