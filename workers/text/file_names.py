# ruff: noqa: RUF001  # letters of many scripts are what this is about
"""Removes file names from alt texts: the name that a camera gave says nothing about the image."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

_EXTENSION = re.compile(
    r"\.(?:jpe?g|png|gif|webp|avif|bmp|tiff?|svg|heic|heif|ico|jfif|psd|raw|cr2|nef|pdf|mp4)$", re.I
)
_QUERY = re.compile(r"(\.(?:jpe?g|png|gif|webp|avif))[?#]\S{0,500}$", re.IGNORECASE)
_FOLDERS = re.compile(r"^(?:[a-z]:)?[\\/](?:[^\\/]{1,80}[\\/])*", re.IGNORECASE)
_COUNTER = r"[\s_.()@x\d:-]"
_CAMERA = (
    r"_?img|_?dsc|dscn|dscf|_?dsf|imgp|images?|picture|pic|photo|foto|bild|imagen|gopr|mvi|pxl|cimg|"
    r"sam|kimg|hpim|sdc|vid|wp|fb_img|scan|received|snapchat|download|thumb(?:nail)?|banner|slide|"
    r"hero|icon|logo|header|file|unnamed|untitled(?: design)?|unbenannt|screen[\s_-]?shot|"
    r"bildschirmfoto|capture d.[ée]cran|captura de pantalla|whats[\s_-]?app[\s_-]?image|inbound|"
    r"signal|telegram|lrm_export|mvimg|"
    # Of catalogues of stock photographs
    r"adobe[\s_]?stock|istock(?:photo)?|getty[\s_]?images|shutterstock|depositphotos|dreamstime"
    r"(?:_(?:xs|s|m|l|xl|xxl))?|fotolia|envato|alamy|bigstock(?:photo)?|123rf|pexels(?:-photo)?|"
    # The same in other languages
    r"imagem|immagine|afbeelding|obr[aá]zek|obraz|resim|g[oö]rsel|gambar|h[iì]nh|[aả]nh|schermata|"
    r"schermafbeelding|sk[aä]rmavbild|zrzut ekranu|sn[ií]mek obrazovky|captura de tela|"
    r"ekran (?:g[oö]r[uü]nt[uü]s[uü]|resmi)|tangkapan layar|снимок|скриншот|изображение|фото|"
    r"картинка|"
    r"знімок|зображення|εικόνα|στιγμιότυπο|תמונה|צילום מסך|صورة|لقطة شاشة|تصویر|عکس|चित्र|फोटो|"
    r"ภาพ|รูปภาพ|ดาวน์โหลด|사진|이미지|스크린샷|그림|画像|写真|スクリーンショット|ダウンロード|"
    r"снимок экрана|знімок екрана|ภาพหน้าจอ|لقطة الشاشة|نماگرفت|화면 캡처|"
    r"[aả]nh ch[uụ]p m[aà]n h[iì]nh|"
    r"schermopname|kuvakaappaus|skjermbilde|sk[aæ]rmbillede|k[eé]perny[oő]k[eé]p|"
    r"captura de ecr[aã]|"
    r"captur[aă] de ecran|snimka zaslona|екранна снимка|画面キャプチャ|"
    r"图片|圖片|照片|截图|截圖|屏幕截图|螢幕截圖|截屏|屏幕快照|螢幕快照|(?:微信|qq)(?:图片|截图)|mmexport|下载|下載|图像|圖像"
)
_COPY = r"cop(?:y|ie)|kopie|kopia|kopya|c[oó]pia|копия|копія|副本|コピー|사본|نسخة"
_NAME = re.compile(
    rf"(?:(?:{_COPY})(?:\s(?:of|von|de|di|van|z))?[\s_-]+)?(?:{_CAMERA})"
    rf"(?:(?:{_COUNTER}|at|of|am|pm|um|à|в|о|om|kl|klo|às|alle|las|saat|lúc|{_COPY}|edit(?:ed)?|final"
    r"|small|large|scaled|e)*"
    # Behind a date only its clock follows, with any short words: "a las 12.12", "上午12.12"
    r"|[\W_]*(?:19|20)\d\d[-_.]?\d\d?[-_.]?\d\d?"
    r"(?:[\W\d_]|(?<![^\W\d_])[^\W\d_]{1,3}(?![^\W\d_]))*)",
    re.I,
)
_HAS_COUNTER = re.compile(r"[\d_]")
_MADE = re.compile(
    r"^(?:chatgpt image|dall[·.-]?e)\s[\w ,.:-]{0,30}?\d{1,2}[_.:]\d\d[_.:]\d\d(?:\s?[ap]m)?"
    r"(?:\s*\(\d+\))?(?:\s+-\s+|$)",
    re.IGNORECASE,
)
"""What generators of images put before the prompt: "DALL·E 2024-05-01 12.00.00 - A red fox"."""
_UNTITLED = re.compile(
    r"(?:(?:design )?ohne titel|untitled|unnamed|unbenannt|sans titre|sin t[ií]tulo|"
    r"senza titolo|sem t[ií]tulo|"
    r"bez n[aá]zvu|bez tytułu|naamloos|namnl[oö]st|adsız|без имени|безымянный|без названия|"
    r"без назви|χωρίς τίτλο|ללא שם|بدون عنوان|無題|名称未設定|未命名|无标题|無標題|제목 없음|무제|"
    r"ไม่มีชื่อ|không có tiêu đề|tanpa judul)"
    r"[\s\d()_-]*",
    re.I,
)
_HASH = re.compile(
    r"photo-\d{10,}-[0-9a-f]{8,}|pexels-[a-z-]{3,60}-\d{5,}|"  # Unsplash, Pexels
    r"(?:max|hq|mq|sd)(?:res)?default|s-l\d{3,4}|il_\d*x[\dN.]+_\w+|"  # YouTube, eBay, Etsy
    r"[\w+%-]{8,14}(?:\._[A-Z][A-Z0-9_,]*_)+|"  # Amazon
    r"[Ss]creenshot_\d{8}[-_]\d{6}_[\w.]+|"  # Android names the app
    r"(?=\S*\d)(?:[0-9a-f]{12,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|"
    r"(?=\S*[a-z])(?=\S*[A-Z])[A-Za-z0-9]{20,})"
)
_NUMBER = re.compile(
    r"(?=[\W_]*\d)[\W\d_]+|\d{2,5}\s?[x×]\s?\d{2,5}(?:\s?px)?|P[A-Z]?\d{6,}|\d{3}_\d{4}"
)
_LETTERS = re.compile(r"(?<!\S)[^\W\d_]{2,}")
_SPACELESS = re.compile(
    "[\u0e01-\u0e30\u0e81-\u0eb0\u1000-\u102a\u1780-\u17b3\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
"""Letters of Thai, Lao, Myanmar, Khmer, kana and Han."""
_SPACELESS_JOINT = re.compile(f"_|(?<={_SPACELESS.pattern})-(?={_SPACELESS.pattern})")
_LEAST = 4
_TELLING = 3
"""Least letters of a word, and least words of a name, that describe an image."""
_JOINTS = re.compile(r"[-_+]+|(?<=[a-z])(?=[A-Z][a-z])")
_VOWEL = re.compile(r"[aeiouy]|[^\x00-\x7f]", re.I)
# Words about the file, or about its place on a page.
_FILE_WORD = re.compile(
    rf"(?:{_CAMERA}|{_COPY}|img|images?|pics?|photos?|final|edit(?:ed)?|new|old|small|medium|large|full|"
    r"scaled|resized?|cropped|optimized|retina|web|desktop|mobile|tablet|home|homepage|page|front|"
    r"main|footer|sidebar|background|cover|featured|feature|gallery|slider|carousel|preview|default|"
    r"placeholder|post|blog|product|products|item|upload|uploads|asset|assets|button|square|"
    r"landscape|portrait|version|social|share|facebook|instagram|twitter|og|seo|size|min|max)",
    re.I,
)
_COUNTERS = re.compile(r"^(?:img|dsc|image|photo)[\s_-]+|[\s_-]+\(?\d{1,4}\)?$", re.I)
# File names inside a longer text: only forms that are no words of a sentence.
_TOKEN = re.compile(
    r"(?<!\S)[\[(]?(?:_?IMG|_?DSC|DSCN|DSCF|IMGP|GOPR|MVI|PXL|CIMG"
    r"|AdobeStock|iStock|GettyImages|shutterstock|depositphotos|Fotolia)[_-]?\d{3,}[\w-]*"
    r"(?:\.(?:\w{3,4}|MP))?[\])]?(?!\w)"
    r"|(?<!\S)[\w%.-]+\.(?:jpe?g|png|gif|webp|avif|heic)(?!\w)",
    re.I,
)

_NAMED_BEFORE = re.compile(
    r"(?:\b(?:files?|named|called|titled|labell?ed|reads?|says?|words?|text|datei|namens|fichier"
    r"|nommé|archivo|llamado|file di nome|файл\w*|文件|檔案|ファイル|파일)\W{0,3}|[「“\"«])\Z",
    re.IGNORECASE,
)
_SAID_AFTER = re.compile(
    r"[\"'”»]?\s+(?:is|was|has|can|open|opened|shown|ist|steht|wird)\b",
    re.IGNORECASE,
)
"""What stands around a name that the image shows: "the file vase.jpg in a folder"."""


def strip_file_names(text: str) -> str:
    """Remove file names; the result is empty for a text that is only one, a hash or a number.

    A file name with spaces in it loses only its ending: "A red vase.jpg" becomes "A red vase". So
    does one in a script without spaces: "红色的花瓶放在木桌上.jpg". A name of words that are joined
    becomes these words: "red-vase-on-table-2.jpg" becomes "red vase on table".
    """
    text = _QUERY.sub(r"\1", text)
    stem = _EXTENSION.sub("", text)
    if stem != text:
        stem = _FOLDERS.sub("", stem)
    if stem != text:
        stem = _decoded(stem)
    if made := _MADE.match(stem):
        return stem[made.end() :]
    if _is_name(stem) or (stem != text and _NAME.fullmatch(stem)):
        return ""
    if stem != text and not any(c.isspace() for c in stem) and not _describes(stem):
        return _slug_words(stem)
    if stem != text and (_describes(stem) or len(_LETTERS.findall(stem)) > 1):
        text = _without_counters(stem) if _describes(stem) else stem
    return _TOKEN.sub(_description, text)


def _decoded(stem: str) -> str:
    """The name without percent-encoding: "Red%20vase" is "Red vase"."""
    plain = unquote(stem)
    return stem if "\ufffd" in plain else plain


def _without_counters(stem: str) -> str:
    """Spaces in place of "_", and no number at the end or name of a camera before the rest."""
    return _SPACELESS_JOINT.sub(" ", _COUNTERS.sub(" ", stem)).strip()


def _describes(stem: str) -> bool:
    """Whether a name in a script without spaces has so many letters that it describes something."""
    return len(_SPACELESS.findall(stem)) >= _LEAST


def _description(name: re.Match[str]) -> str:
    before, after = name.string[: name.start()], name.end()
    stem = _EXTENSION.sub("", name[0].strip("[]()"))
    said = not (before or _NAME.fullmatch(stem)) and _SAID_AFTER.match(name.string, after)
    if said or _NAMED_BEFORE.search(before[-20:]):
        return name[0]
    described = _describes(stem) and not _NAME.fullmatch(stem)
    return _without_counters(stem) if described else _slug_words(stem) or " "


def _slug_words(stem: str) -> str:
    """The words of a name without spaces; nothing if too few of them describe an image."""
    parts = [each for each in _JOINTS.split(stem) if each]
    words = [each for each in parts if _is_word(each) and not _FILE_WORD.fullmatch(each)]
    # Words of other scripts, such as Korean ones, say more in fewer letters.
    telling = [
        each for each in words if len(each) >= _TELLING - (each > "\u024f") and _VOWEL.search(each)
    ]
    if len(telling) < _TELLING or 3 * len(words) < 2 * len(parts):
        return ""
    while not _is_word(parts[-1]):
        parts.pop()
    return " ".join(parts)


def _is_word(part: str) -> bool:
    """Whether it has letters alone, and the marks that belong to letters of Indic scripts."""
    return part[:1].isalpha() and all(unicodedata.category(each)[0] in "LM" for each in part)


def _is_name(stem: str) -> bool:
    if _UNTITLED.fullmatch(stem) or _HASH.fullmatch(stem) or _NUMBER.fullmatch(stem):
        return True
    return bool(_NAME.fullmatch(stem) and _HAS_COUNTER.search(stem))
