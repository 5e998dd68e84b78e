"""Names of market places behind a text, screenshots and Chinese credits go, and prose stays."""

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
    ],
)
def test_a_market_place_behind_a_text_goes(text: str, left: str) -> None:
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
        "照片由张伟拍摄",
        "图/张伟",
        "图源网络",
        "图片来源于网络",
        "受访者供图",
        "Ảnh: Internet",
    ],
)
def test_screenshots_and_credits_are_emptied(text: str) -> None:
    assert clean(text, POLICY).text == ""


@pytest.mark.parametrize(
    "text",
    [
        "A courier carries a parcel with the word Etsy",
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
    ],
)
def test_what_mentions_them_stays(text: str) -> None:
    assert clean(text, POLICY).text == text
