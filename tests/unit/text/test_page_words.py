# ruff: noqa: RUF001  # letters of many scripts are what this is about
"""Texts of pages about themselves are told by their words, in whatever order a page puts them."""

from __future__ import annotations

import pytest

from kaption.workers.policy.ingest import TextPolicy
from kaption.workers.text.clean import clean

pytestmark = pytest.mark.slow

POLICY = TextPolicy()
ABOUT_THE_PAGE = (
    *("Click image to open expanded view", "View product details", "Follow us on Instagram"),
    *("Image could not be displayed. Click here", "There is no photo for this article yet"),
    *("Klicken um zu vergrößern", "Zum Artikel", "Auf Facebook teilen", "Foto folgt"),
    *("Lire l'article", "Voir la photo en grand", "Pas de photo", "Suivez-nous sur Facebook"),
    *("Ver detalles", "Sin foto", "Foto no disponible", "Síguenos en Facebook"),
    *("Ver produto", "Foto indisponível", "Leggi l'articolo", "Nessuna foto", "Bekijk product"),
    *("Zobacz produkt", "Brak zdjęcia produktu", "Prohlédnout detail", "Bez obrázku"),
    *("Ürünü incele", "GÖRSEL BULUNAMADI", "Fotoğraf yok", "Lihat detail", "Belum ada gambar"),
    *("Xem ảnh lớn", "Chưa có hình ảnh", "Смотреть фото", "Фото отсутствует", "Дивитись фото"),
    *("Δείτε λεπτομέρειες", "Δεν υπάρχει φωτογραφία", "عرض التفاصيل", "بدون صورة", "مشاهده تصویر"),
    *("אין תמונה למוצר", "שתפו בפייסבוק", "पूरी खबर पढ़ें", "कोई फोटो नहीं", "ดูรายละเอียด", "ไม่มีรูป"),
    *(
        "查看商品详情",
        "图片暂缺",
        "無圖片",
        "写真準備中",
        "商品画像がありません",
        "사진이 없습니다",
    ),
    # What LinkedIn and editors write where an alternative text is missing
    *("Kein Alt-Text für dieses Bild vorhanden", "Aucun texte alternatif pour cette image"),
    *("Não foi fornecido texto alternativo para esta imagem", "Brak alternatywnego opisu zdjęcia"),
    *("Bu görsel için alternatif metin açıklaması yok", "この画像には代替テキストがありません"),
    *(
        "이 이미지에 대한 대체 텍스트가 없습니다",
        "لا يتوفر نص بديل لهذه الصورة",
        "אין טקסט חלופי לתמונה זו",
    ),
)
SHOWN = (
    *("No more", "Not now", "Without us", "Nicht hier", "Pas ici", "Sin más", "Не здесь", "不可以"),
    *("See you soon", "Find out"),
    *(
        "Shop window at night",
        "Open window",
        "Open bag",
        "Large tap",
        "Photo gallery of the museum",
    ),
    *("View of the sea", "A page of a book", "No parking", "Text only", "Share of renewables"),
    *("Rotes Bild an der Wand", "Kein Ausgang", "Der Artikel liegt auf der Seite", "Alter Text"),
    *("La page blanche", "Sans titre dorée", "Galería de arte", "Sin zapatos", "Pagina bianca"),
    *("Bir göz.", "Chia cho.", "đọc sách", "Kadın fotoğrafı", "Фотографии детей", "Без шапки"),
    *(
        "Γυναίκα χωρίς καπέλο",
        "صورة قطة",
        "בלי כובע",
        "बिना टोपी का आदमी",
        "ดูหนัง",
        "รูปปั้น",
        "看书的女孩",
    ),
    *("無料", "図書館", "はなし", "見る人", "사진 찍는 여자", "보기 좋은 꽃", "新大楼"),
)


@pytest.mark.parametrize("text", ABOUT_THE_PAGE)
def test_a_text_about_the_page_is_removed(text: str) -> None:
    assert clean(text, POLICY).text == ""


@pytest.mark.parametrize("text", SHOWN)
def test_words_of_pages_beside_others_describe_an_image(text: str) -> None:
    assert clean(text, POLICY).text == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Red vase, Click to enlarge image", "Red vase"),
        ("Red vase (Click image to zoom)", "Red vase"),
        ("Rote Vase - zum Vergrößern bitte klicken", "Rote Vase"),
        ("Czerwony wazon | Kliknij, aby zobaczyć więcej", "Czerwony wazon"),
        ("红色花瓶，查看商品详情", "红色花瓶"),
        ("A red poster, no text", "A red poster, no text"),
        ("一张红色海报，没有文字", "一张红色海报，没有文字"),
    ],
)
def test_a_part_is_removed_where_it_names_an_act(text: str, cleaned: str) -> None:
    assert clean(text, POLICY).text == cleaned
