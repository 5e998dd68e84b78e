"""What shops, galleries, networks and editors add to a text goes, and what mentions it stays."""

# ruff: noqa: RUF001  # letters of many scripts are what this is about

import pytest

from kaption.workers.policy.ingest import TextPolicy
from kaption.workers.text.clean import clean

POLICY = TextPolicy()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("红色花瓶 - 淘宝网", "红色花瓶"),
        ("红色花瓶 | 京东商城", "红色花瓶"),
        ("赤い花瓶 | 楽天市場", "赤い花瓶"),
        ("赤い花瓶 - Amazon.co.jp", "赤い花瓶"),
        ("빨간 꽃병 : 네이버 블로그", "빨간 꽃병"),
        ("빨간 꽃병 | 쿠팡", "빨간 꽃병"),
        ("แจกันสีแดง | Shopee Thailand", "แจกันสีแดง"),
        ("Bình hoa đỏ | Lazada", "Bình hoa đỏ"),
        ("Kırmızı vazo | Trendyol", "Kırmızı vazo"),
        ("Красная ваза – Авито", "Красная ваза"),
        ("Czerwony wazon - Allegro.pl", "Czerwony wazon"),
        ("Jarrón rojo | Mercado Libre", "Jarrón rojo"),
        ("Red vase - Etsy UK", "Red vase"),
        ("红色花瓶 图片下载", "红色花瓶"),
        ("红色花瓶高清图片", "红色花瓶"),
        ("赤い花瓶のフリー素材", "赤い花瓶"),
        ("빨간 꽃병 무료 이미지", "빨간 꽃병"),
        ("Vase rouge - Photo de stock", "Vase rouge"),
        ("Rote Vase Stock-Foto", "Rote Vase"),
        ("Red vase - Image 3 of 5", "Red vase"),
        ("Red vase (1 of 5)", "Red vase"),
        ("Vase rouge - photo 3", "Vase rouge"),
        ("Красная ваза, фото 2", "Красная ваза"),
        ("Rote Vase | Bild Nr. 4", "Rote Vase"),
        ("红色花瓶 (第1张)", "红色花瓶"),
        ("赤い花瓶（1枚目）", "赤い花瓶"),
        ("上图：红色花瓶", "红色花瓶"),
        ("DSC_0012.jpg in the garden", "in the garden"),
        ("shutterstock_1234567 a red vase", "a red vase"),
        ("DALL·E 2024-05-01 12.00.00 - A red vase.png", "A red vase"),
        ("red vase vase.jpg on a table", "red vase on a table"),
        ("图片描述：红色花瓶", "红色花瓶"),
        ("사진: 빨간 꽃병", "빨간 꽃병"),
        ("ภาพ: แจกันสีแดง", "แจกันสีแดง"),
        ("صورة: مزهرية حمراء", "مزهرية حمراء"),
        ("תמונה: אגרטל אדום", "אגרטל אדום"),
        ("फोटो: लाल फूलदान", "लाल फूलदान"),
        ("Ảnh: bình hoa đỏ", "bình hoa đỏ"),
        ("Görsel: Kırmızı vazo", "Kırmızı vazo"),
    ],
)
def test_additions_before_and_behind_a_text_go(text: str, left: str) -> None:
    assert clean(text, POLICY).text == left


@pytest.mark.parametrize(
    "text",
    [
        "Снимок экрана 2020-01-01 в 12.00.00.png",
        "Bildschirmfoto 2020-01-01 um 12.00.00.png",
        "Capture d’écran 2020-01-01 à 12.00.00.png",
        "Schermafbeelding 2020-01-01 om 12.00.00.png",
        "Skjermbilde 2020-01-01 kl. 12.00.00.png",
        "Ảnh chụp màn hình 2020-01-01.png",
        "ภาพหน้าจอ 2020-01-01.png",
        "لقطة الشاشة 2020-01-01.png",
        "AdobeStock_123456",
        "iStock-1234567",
        "GettyImages-123456.jpg",
        "shutterstock 1234567",
        "pexels-anna-shvets-3845126",
        "photo-1523275335684-37898b6baf30",
        "ChatGPT Image Apr 1, 2025, 10_00_00 AM",
        "Design ohne Titel (3)",
        "照片由张伟拍摄",
        "图/张伟",
        "图源网络",
        "图片来源于网络",
        "受访者供图",
        "Ảnh: Internet",
        "写真の説明はありません。",
        "사진 설명이 없습니다.",
        "ไม่มีคำอธิบายรูปภาพ",
        "Không có mô tả ảnh.",
        "لا يتوفر وصف للصورة.",
        "Fotoğraf açıklaması yok.",
        "Описание фото отсутствует.",
        "This image has an empty alt attribute; its file name is image-5.png",
        "Dieses Bild hat ein leeres Alt-Attribut; sein Dateiname ist a.jpg",
        "Cette image a un attribut alt vide ; le nom du fichier est a.jpg",
        "Esta imagen tiene un atributo ALT vacío; su nombre de archivo es a.jpg",
        "Questa immagine ha l'attributo alt vuoto; il nome del file è a.jpg",
        "Esta imagem possuí um atributo alt vazio; O nome do arquivo é a.jpg",
        "У этого изображения пустой атрибут alt; его имя файла - a.jpg",
        "此图像的alt属性为空；文件名为a.jpg",
        "この画像には alt 属性が指定されておらず、ファイル名は a.jpg です",
        "이 이미지는 대체 속성이 비어있습니다. 그 파일 이름은 a.jpg입니다",
    ],
)
def test_what_says_nothing_of_the_image_is_emptied(text: str) -> None:
    assert clean(text, POLICY).text == ""


@pytest.mark.parametrize(
    "text",
    [
        "A courier carries a parcel with the word Etsy",
        "A photo of 12 pexels in a row",
        "The Alamy building in 1999",
        "A pink Shopee box on a doorstep",
        "A flea market - Amsterdam",
        "A page of sheet music - note",
        "Logos of eBay, Etsy and Amazon",
        "Marktplaats in Brugge",
        "Allegro in G, page of a score",
        "Сад камней - дзен",
        "Белая розетка на стене",
        "淘宝网的手机界面",
        "京东快递员骑着三轮车",
        "メルカリのアプリ画面",
        "쿠팡 배송 트럭",
        "无料イラスト展の入口",
        "高清图片库的首页",
        "무료 이미지 사이트의 화면",
        "由卫星拍摄的地球",
        "网络结构图",
        "截图里是一张地图",
        "Снимок экрана с картой",
        "Ein Bildschirmfoto von einem Spiel",
        "A phone with a screenshot at 5 pm",
        "A map (1 of 5 known copies)",
        "vase.jpg is written on a sticky note",
        "A screen shows the file vase.jpg in a folder",
        "A folder with a file named holiday.png and two texts",
        "Eine Datei vase.jpg liegt im Ordner",
        "Photo 51 by Rosalind Franklin",
        "A woman looks at photo 3",
        "Station 3 von 5 auf dem Kreuzweg",
        "第3张专辑封面",
        "五张照片",
        "上图书馆的读者",
        "An HTML tag with an empty alt attribute",
        "A code sample with an alt attribute; the file name is red",
        "תמונה של כלב",
        "사진을 찍는 사람",
        "ภาพวาดสีน้ำมัน",
        "Ảnh cưới của cô dâu",
    ],
)
def test_what_mentions_them_stays(text: str) -> None:
    assert clean(text, POLICY).text == text
