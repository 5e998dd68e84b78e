"""What social networks put around their automatic alt texts goes; the description stays."""

# ruff: noqa: RUF001  # letters of many scripts are what this is about

import pytest

from kaption.workers.policy.ingest import TextPolicy
from kaption.workers.text.clean import clean

POLICY = TextPolicy()
DESCRIBED = (
    ("May be an image of a dog on grass", "a dog on grass"),
    ("May be an image of dog. Our Rex at the lake.", "dog. Our Rex at the lake."),
    ("May be a closeup of 1 person", "1 person"),
    ("MAY BE A GRAPHIC OF penguin.", "penguin."),
    ("Image may contain: 2 people, sky", "2 people, sky"),
    ("Photo shared by Mr. Surprise Toys. May be a graphic of penguin.", "penguin."),
    (
        "Photo by Emirhan Perker on April 12, 2024. May be a Twitter screenshot of a red fox.",
        "a red fox.",
    ),
    ("Könnte ein Bild von 1 Person und Hund sein", "1 Person und Hund"),
    (
        "Könnte ein Bild von Hund und Gras sein. Unser Bello am See.",
        "Hund und Gras. Unser Bello am See.",
    ),
    ("Bild könnte enthalten: Golf, Gras, im Freien", "Golf, Gras, im Freien"),
    ("Peut être une image de 1 personne et chien", "1 personne et chien"),
    ("L’image contient peut-être\u00a0: chat et intérieur", "chat et intérieur"),
    ("L'image contient peut-être : chat et intérieur", "chat et intérieur"),
    ("Puede ser una imagen de perro y césped.", "perro y césped."),
    ("La imagen puede contener: perro en la playa", "perro en la playa"),
    ("Pode ser uma imagem de cão. Praia ao pôr do sol.", "cão. Praia ao pôr do sol."),
    ("A imagem pode conter: comida e área interna", "comida e área interna"),
    ("Potrebbe essere un'immagine raffigurante cielo e mare", "cielo e mare"),
    ("Potrebbe essere un’immagine di un gatto nero", "un gatto nero"),
    (
        "Photo by Aesopica in Pailón Del Diablo. Afbeelding kan het volgende bevatten: plant, boom",
        "plant, boom",
    ),
    ("Kan een afbeelding zijn van hond en gras", "hond en gras"),
    ("Kan være et billede af vej, træ og himmel", "vej, træ og himmel"),
    ("Kan være et bilde av hund og gress", "hund og gress"),
    ("Może być zdjęciem przedstawiającym kota w ogrodzie", "kota w ogrodzie"),
    ("Może być grafiką anime przedstawiającą kota", "kota"),
    ("Může jít o obrázek 3D tiskárny na stole", "3D tiskárny na stole"),
    ("Lehet, hogy egy kép erről: kutya és fű", "kutya és fű"),
    ("kedi ve çimen görseli olabilir", "kedi ve çimen"),
    ("kedi ve çimen görseli olabilir. Deniz kenarında.", "kedi ve çimen. Deniz kenarında."),
    ("Mungkin gambar terompet dan klarinet", "terompet dan klarinet"),
    ("Gambar mungkin berisi: kucing di taman", "kucing di taman"),
    ("Mungkin imej makanan di atas meja", "makanan di atas meja"),
    ("Возможно, это изображение 1 человек и собака", "1 человек и собака"),
    ("На изображении может находиться: океан, вода и природа", "океан, вода и природа"),
    ("قد تكون صورة ‏رواق‏", "رواق"),
    ("ハープ、夜の画像のようです", "ハープ、夜"),
    ("ハープ、夜の画像のようです。公園で。", "ハープ、夜。公園で。"),
    ("画像に含まれている可能性があるもの:猫、室内", "猫、室内"),
    ("강아지, 잔디의 이미지일 수 있음", "강아지, 잔디"),
    ("可能是狗和草地的圖像", "狗和草地"),
    ("可能是包含下列内容的图片：热水器", "热水器"),
    ("Có thể là hình ảnh về 7 người và cỏ", "7 người và cỏ"),
    ("Trong hình ảnh có thể có: 2 người, trong nhà", "2 người, trong nhà"),
    ("อาจเป็นรูปภาพของ ดอกไม้ และธรรมชาติ", "ดอกไม้ และธรรมชาติ"),
    ("ในภาพอาจจะมี ดอกไม้, ธรรมชาติ", "ดอกไม้, ธรรมชาติ"),
    ("This may contain: a red mug on a table", "a red mug on a table"),
    ("This contains an image of: DIY mug in red", "DIY mug in red"),
    ("A cat on a mat\n\nDescription automatically generated", "A cat on a mat"),
    (
        "A picture containing a cat\n\nDescription automatically generated with medium confidence",
        "a cat",
    ),
    ("A cat on a mat.\n\nAI-generated content may be incorrect.", "A cat on a mat."),
    ("A cat on a mat AI-generated content may be incorrect.", "A cat on a mat."),
    ("Ein Bild, das Hund, Gras enthält. Automatisch generierte Beschreibung", "Hund, Gras."),
    ("Ein Hund KI-generierte Inhalte können fehlerhaft sein.", "Ein Hund."),
    ("Une image contenant chien, herbe Description générée automatiquement", "chien, herbe"),
    ("Un chien\n\nLe contenu généré par l’IA peut être incorrect.", "Un chien."),
    ("Un ratón Descripción generada automáticamente con confianza media", "Un ratón"),
    ("Un perroEl contenido generado por IA puede ser incorrecto.", "Un perro."),
    ("Uma praia\nDescrição gerada automaticamente", "Uma praia"),
    ("Uno schermo Descrizione generata automaticamente con confidenza media", "Uno schermo"),
    ("Een hond Door AI gegenereerde inhoud is mogelijk onjuist.", "Een hond."),
    ("Изображение выглядит как собака\n\nАвтоматически созданное описание", "собака"),
    ("屋外, 建物 が含まれている画像\n\n自動的に生成された説明", "屋外, 建物"),
    ("개, 잔디이(가) 표시된 사진 자동 생성된 설명", "개, 잔디"),
    ("图片包含 狗, 草地\n\n描述已自动生成", "狗, 草地"),
    ("Photo by Ann on May 03, 2023 tagging @x.y, and @z. May be an image of cat.", "cat."),
    ("Може бути зображенням кота", "кота"),
    ("ممکن است تصویر گربه باشد", "گربه"),
    ("ייתכן שזו תמונה של חתול", "חתול"),
    ("可能是猫的图片", "猫"),
    ("Obraz zawierający kot, trawa\n\nOpis wygenerowany automatycznie", "kot, trawa"),
    ("Obsah obrázku pes, tráva\n\nPopis byl vytvořen automaticky", "pes, tráva"),
    ("En bild som visar hund\n\nAutomatiskt genererad beskrivning", "hund"),
    ("köpek içeren bir resim\n\nAçıklama otomatik olarak oluşturuldu", "köpek"),
    ("صورة تحتوي على كلب\n\nتم إنشاء الوصف تلقائيًا", "كلب"),
    ("一張含有 狗 的圖片\n\n自動產生的描述", "狗"),
    ("白色背景上的二维码 AI 生成的内容可能不正确。", "白色背景上的二维码。"),
)
EMPTY = (
    "May be an image of",
    "May be an image.",
    "No photo description available.",
    "Photo by Alex Schepers in New York, New York. Geen fotobeschrijving beschikbaar.",
    "Photo by Anna Schmidt on June 26, 2021.",
    "Photo shared by Anna on June 26, 2021 tagging @mrtyldrm, and @esbilgic.",
    "Keine Fotobeschreibung verfügbar.",
    "Może być zdjęciem",
    "No alternative text description for this image",
    "Description automatically generated",
    "Icon\n\nDescription automatically generated",
    "Brak dostępnego opisu zdjęcia.",
    "Fotoğraf açıklaması yok.",
    "写真の説明はありません。",
    "사진 설명이 없습니다.",
    "Không có mô tả ảnh.",
    "لا يتوفر وصف للصورة.",
    "可能是圖像",
)
DESCRIPTIONS = (
    "A statue that may be an image of Venus",
    "Ein Bild von einem Hund auf einer Wiese",
    "A friend shared by two families",
    "Une image de la mer qui peut être très agitée",
    "Photo album by the window, shared by two sisters",
    "A screen with the words: description automatically generated by robots",
    "Ein Bild, das an der Wand hängt",
)


@pytest.mark.parametrize(("text", "left"), DESCRIBED)
def test_the_description_stays_without_the_lead_in(text: str, left: str) -> None:
    assert clean(text, POLICY).text == left


@pytest.mark.parametrize("text", EMPTY)
def test_a_lead_in_without_a_description_is_emptied(text: str) -> None:
    assert clean(text, POLICY).text == ""


@pytest.mark.parametrize("text", DESCRIPTIONS)
def test_other_texts_stay(text: str) -> None:
    assert clean(text, POLICY).text == text
