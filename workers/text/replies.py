"""What models write around a text that they were asked for: lead-ins, farewells, notes, marks."""

# ruff: noqa: RUF001  # typographic and CJK punctuation is what models write

from __future__ import annotations

import re

from kaption.workers.text.clauses import split_sentences
from kaption.workers.text.tails import without_tail

_CAPTION = r"(?:captions?|descriptions?|alt[- _]?texts?)"
NOUN = (
    rf"(?:{_CAPTION}|answers?|responses?|sentences?|summary|options?|versions?|alternatives?|json"
    r"|outputs?|results?)"
)
_KIND = (
    r"(?:(?:final|short|long|brief|detailed|concise|simple|image|photo|picture"
    r"|suggested|proposed|possible|good|suitable|fitting|new|best|revised|english)\ )*"
)
_IMAGE = r"(?:the|this|your)\ (?:image|photo|picture)"
_OWN = (
    rf"(?:(?:(?:an?|the|one|my)\ )?{_KIND}(?:\w+\ )?{_CAPTION}(?:\ \([^()\n]{{1,30}}\))?"
    rf"|{_KIND}{NOUN})"
)
_COLON = r"\s*[:：﹕∶]\s*"
_NAMES = r"""
bildunterschrift|bildbeschreibung|bildtitel|beschriftung|beschreibung|bildtext|onderschrift
bijschrift|beschrijving|légende|leyenda|descripción|pie de foto|legenda|descrição|didascalia
descrizione|podpis|opis|popisek|popis|kuvateksti|kuvaus|billedtekst|beskrivelse|bildetekst
beskrivning|képaláírás|leírás|descriere|başlık|açıklama|altyazı|keterangan|deskripsi|kapsyen
подпись|описание|підпис|опис|надпис|λεζάντα|περιγραφή|chú thích|mô tả|تسمية توضيحية|وصف|تعليق
شرح|توضیح|زیرنویس|כיתוב|תיאור|कैप्शन|विवरण|ক্যাপশন|বর্ণনা|alternativtext|alt-text
texte alternatif|texto alternativo|testo alternativo|alternatieve tekst|tekst alternatywny
alternatif metin|teks alternatif|văn bản thay thế|альтернативный текст|εναλλακτικό κείμενο
نص بديل|نص البديل|متن جایگزین|טקסט חלופי|वैकल्पिक पाठ
"""
_SPACELESS = (
    "キャプション|説明文?|描述|说明|說明|标题|標題|캡션|설명|คำบรรยาย|คำอธิบาย|替代文[字本]|代替テキスト"
    "|대체 ?텍스트|ข้อความแสดงแทน"
)
_WITH = "with|mit|avec|con|com|met|med|z|ze|s|sa|с|з|ile|dengan|với|و|مع|με"
_HEAD = rf"(?!(?:{_WITH})\s)[^\s:：.。!?！？、，,;\"“«(（]+"
_NAME = rf"(?:ال|ה)?(?:{'|'.join(_NAMES.split(chr(10))[1:-1])})"
NAMED = (
    rf"(?:(?:{_HEAD}\s+){{0,6}}{_NAME}[\w\u064b-\u0652]{{0,4}}(?:\s+{_HEAD}){{0,4}}"
    rf"|(?:{_HEAD}\s+){{0,3}}[^\s:：.。!?！？、，,\"“「]{{0,12}}(?:{_SPACELESS})"
    rf"[^\s:：.。!?！？、，,]{{0,8}})"
)
"""A head that names what follows in another language: "Oto podpis:". None with a word for "with":
"ein Schild mit der Beschreibung: ..." is a description itself."""
_ANSWERS = r"""
antwort|réponse|respuesta|resposta|risposta|antwoord|svar|vastaus|odpowiedź|odpověď|odpoveď|válasz
răspuns|ответ|відповідь|отговор|απάντηση|cevap|yanıt|trả lời|jawaban|jawapan
الإجابة|الجواب|پاسخ|תשובה|उत्तर|উত্তর
"""
_ANSWERED = (
    rf"(?:(?:[^\W\d_]{{1,15}}\s){{0,2}}(?:{'|'.join(_ANSWERS.split(chr(10))[1:-1])})"
    r"|(?:最[终終]|我的)?(?:回答|答案|答え|答复)|(?:최종\s)?(?:답변|정답)|คำตอบ(?:สุดท้าย)?)"
)
"""The word for an answer before one in another language: "Antwort:"."""
_LABEL = (
    rf"(?:(?:{_HEAD}\s+){{0,2}}{_NAME}|[\u3400-\u9fff]{{0,4}}(?:{_SPACELESS})|caption|description)"
)
"""A name alone, as it stands in brackets: "【描述】"."""
_SHOWN = (
    r"(?:das bild zeigt|auf dem bild (?:ist|sieht man)|l['’]image (?:montre|représente)"
    r"|la imagen muestra|a imagem mostra|l['’]immagine mostra|de afbeelding toont"
    r"|na (?:zdjęciu|obrazie) widać"
    r"|на (?:изображении|фото(?:графии)?|картинке) (?:изображен[аоы]?|видн[аоы])"
    r"|görselde görülen"
    r"|تظهر الصورة"
    r"|[这這该該此图圖][张張]?(?:图片|圖片|照片|中)?(?:展示|显示|顯示|描绘|描繪)了?)"
)
_AGREEING = r"""sure(?:\ thing)?|certainly|of\ course|absolutely|okay|ok|alright|got\ it|great|yes
    |understood|no\ problem|gladly|happy\ to\ help|great\ question|very\ well|with\ pleasure
    |you\ got\ it|okie\ dokie|claro(?:\ que\ s[ií])?
    |por\ supuesto|bien\ s[ûu]r|d['’]accord|natürlich|gerne?|klar|selbstverständlich
    |certo|certamente|oczywiście|jasne
    |uiteraard|natuurlijk|självklart|selvfølgelig|tentu(?:\ saja)?|tabi[iî]|elbette|конечно|хорошо
    |звичайно|βεβαίως|φυσικά|dĩ\ nhiên|tất\ nhiên|chắc\ chắn\ rồi|بالطبع|بالتأكيد|البته|ज़रूर|ज़रूर
    |बिल्कुल"""
LEAD_IN = re.compile(
    rf"""\A(?:
      (?:{_AGREEING})(?:\s*[!.,:]|\s+[-–—])\s*
    | (?:当然(?:可以)?|當然(?:可以)?|好的|可以|收到|明白了?|[没沒]问题|沒問題|もちろんです
        |承知(?:いた)?しました|かしこまりました|了解(?:いた)?しました|了解です|[わ分]かりました|はい
        |물론(?:입니다|이죠)|알겠습니다|좋습니다|네)
        [！!，,。.、：:]\s*
    | (?:(?:here(?:['’]s|\ is|\ are)|this\ is|below\ is|the\ following\ is)\ [^.:\n]{{0,80}}?
        \b{NOUN}\b[^.:\n]{{0,80}}:)\s*
    | here\ (?:you\ (?:go|are)|it\ is|goes)\s*[:.!,]\s*
    | here(?:['’]s|\ is)\ (?:one|mine)\s*[:.!,]\s*
    | here(?:['’]s|\ is|\ are)\ (?:an?|my|the|some|your)\ [^.:\n]{{0,60}}:\s*
    | (?:many\ )?(?:thanks|thank\ you)(?:\ (?:so|very)\ much)?\ for\ [^.!:\n]{{0,60}}[.!:]\s*
    | (?:please\ )?(?:describe|caption|summari[sz]e)\ {_IMAGE}[^.:\n]{{0,80}}[.:]\s*
    | (?:please\ )?(?:write|generate|provide|create|give|produce)\ [^.:\n]{{0,60}}
        \b{_CAPTION}\b[^.:\n]{{0,60}}[.:]\s*
    | /(?:no_?)?think\s+
    | i(?:['’]d\ be|\ would\ be|['’]m)\ (?:happy|glad)\ to\ help[^.!:\n]{{0,30}}[.!:]\s*
    | i\ can\ help\ (?:you\ )?with\ that\s*[.!:]\s*
    | in\ {_IMAGE},?\ (?:we|you|i)\ (?:can\ )?see\s*:\s*
    | (?-i:A:\s+(?=[A-Z"“]))
    | (?:voici|hier\ (?:ist|sind|eine?|meine?|kommt)|aqu[ií]\ (?:está|tienes|hay|va)|ecco
        |aqui\ está|вот|以下是|这是)[^.:：\n]{{0,80}}[:：]\s*
    | (?:here(?:['’]s|\ is)\ )?what\ (?:i|we|you|{_IMAGE})\ [^.:\n]{{0,30}}:\s*
    | {_OWN}(?:\ (?:of|for)\ {_IMAGE})?(?:\ (?:generated|created|suggestion|proposal|idea))?
        (?:\ [\da-e]\b)?
        (?:\ (?:is|could\ be|would\ be|might\ be|may\ be))?(?:\s*[:：=→|>»]+|(?=\ ?["“]))\s*
    | {_OWN}(?:\ \d+)?\s+[-–—]\s+
    | \[{_OWN}\]\s*
    | {_IMAGE}\ (?:can|could|may|might|would)\ be\ (?:described|captioned)
        [^.:\n"“]{{0,40}}(?::|(?=["“]))\s*
    | (?:i|we)(?:['’](?:d|ll)|\ would|\ can)?\ (?:describe|caption)\ [^.:\n]{{0,60}}:\s*
    | as\ an?\ (?:ai|(?:large\ |vision\ )?language)\b[^.:\n]{{0,100}}:\s*
    | {_IMAGE}\ (?:shows|depicts|features|contains|displays|captures|says)\s*:\s*
    | (?:tl;?dr|in\ (?:short|summary|brief|a\ nutshell|one\ sentence)|briefly)\s*[:,]\s*
    | description\ (?:de|du|des|da|do|della?|of)\b[^.:\n]{{0,40}}:\s*
    | (?:based\ on|looking\ at)\ {_IMAGE}[^.:\n]{{0,60}}:\s*
    | (?:assistant|image|title|alt|titel|titre|título|titolo|tytuł|название|タイトル|제목|english
        |deutsch|français|español|italiano|português|русский|中文|日本語|한국어){_COLON}
    | {_ANSWERED.replace(" ", chr(92) + " ")}{_COLON}
    | {NAMED.replace(" ", chr(92) + " ")}{_COLON}
    | [\[【〖(（]\s*{_LABEL.replace(" ", chr(92) + " ")}\s*[:：]?\s*[\]】〗)）]\s*+[:：]?\s*+
        (?!(?-i:[a-z]))
    | [「『“"]\s*{_LABEL.replace(" ", chr(92) + " ")}\s*(?:[:：]\s*[」』”"]|[」』”"]\s*[:：])\s*
    | {_SHOWN.replace(" ", chr(92) + " ")}{_COLON}
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""What stands before the text that was asked for."""
_WORD = r"[^\s\d!！.?。，,;:、\"“”«»„(){}<>\[\]*_/-]{1,20}"
EXCLAIMED = re.compile(
    rf"\A[¡\s]*{_WORD}(?:,?\ {_WORD}){{0,3}}(?:\s?!\s+|！\s*)"
    r"(?=[\W\d]{0,3}[^\W\d_a-z][^!?！？]{10,}\Z)"
)
"""Up to four words with an exclamation mark before a sentence: "¡Por supuesto!", "Persze!". A
caption of a model cries out inside of quotation marks only; of 52,018 captions of people (Debian's
tuxpaint-stamps-default) 45 begin so."""
WIDE_ITEM = r"(?:\d{1,2}[．）、](?!\d)|[\u2460-\u2473]|[・－](?=\s|[\u3040-\u9fff]))[ \t\u3000]*"
"""A bullet or a number with Chinese or Japanese punctuation."""
ITEM = re.compile(
    rf"^[ \t]*(?:(?:[-*+•]|\(?(?:\d{{1,2}}|[a-e])[.)]"
    rf"|{_KIND}{NOUN}(?: [\da-e]\b)?(?: \([^)\n]*\))?\s*[:.)–-])[ \t]+|{WIDE_ITEM})",
    re.IGNORECASE | re.MULTILINE,
)
"""The beginning of one of several texts, each on a line of its own."""
_THINKING = (
    "seed:think|think|thinking|thoughts?|reason|reasoning|reflection|scratchpad|analysis"
    "|inner_monologue|solution_process"
)
THOUGHT = rf"(?:[<\[◁]\|?(?:begin_of_|start_)?(?:{_THINKING})\|?[>\]▷]|<unused94>)"
THOUGHT_END = rf"(?:[<\[◁]\|?(?:/\|?|end_(?:of_)?)(?:{_THINKING})\|?[>\]▷]|<unused95>)"
WORDS = rf"(?:{_NAME}|{_SPACELESS}|{_ANSWERED})"
"""A word for a caption or an answer, in other languages than English."""
MARK = (
    rf"(?!{THOUGHT})(?:"
    r"<\|[^<>|\s]{1,40}\|>"
    rf"|</?(?:{WORDS})>"
    r"|</?(?:answer|caption|response|output|final|description|result|alt|text)>"
    r"|(?-i:</?[a-z][a-z0-9_-]{0,30}(?:\s[^<>]{0,200}=[^<>]{0,200})?\s?/?>)"
    r"|(?<!\w)\[(?:/?INST|EOS|BOS)\]|(?:\A|(?<=[.!?]\s)|(?<=[.!?。！？]))\[(?:/?S|END|STOP)\])"
)
"""A tag or a mark of a chat template; a sign may say ``<EXIT>`` or ``[STOP]``."""
_NOTE = re.compile(
    r"""[\W_]*(?:(?:note|please\ note|n\.\ ?b\.?|p\.\ ?s\.?|disclaimer|hinweis|anmerkung|remarque
      |nota|opmerking|uwaga|catatan|примечание|примітка|注|注意|备注|備註|備考|補足|참고)\s*[:：]
    | (?:this|the\ above)\ (?:caption|description|alt[- ]?text|sentence|response)
        \ (?:is|was|describes|captures|focuses|highlights|includes|mentions
        |aims|provides|uses|reflects|does|should|can|will|has
        |avoids|keeps|emphasi[sz]es|summari[sz]es|accurately|clearly)\b
    | (?:key\ ?words?|(?:hash)?tags|confidence|score|user|human|assistant|q|question
      |explanation|rationale|reasoning|analysis|translation|source|alt[- ]?text
      |(?:caption\ )?length)\s*[:：]
    | (?:key\ ?words|(?:hash)?tags)\s[-–]\s | (?:generated|captioned)\ by\b
    | (?:total\ )?(?:word|character)(?:\ count|s)\b\W*\d
    | (?:\(|\[)\s*\d{1,3}\ (?:words?|characters?|tokens?)\b | \d{1,3}\ (?:words|characters)\W*\Z
    | [(（\[]\s*(?:共|约|約)?\s*\d{1,3}\s?(?:个?字|個字|文字|자|wörter|mots|palabras|palavras|parole
      |słów|слов\w?)
    | [(（\[]\s*(?:字数|字數|文字数|글자\ 수)\s*[:：]
    | alternatives?(?:\ (?:captions?|descriptions?|versions?))?\s*[:：] | alternatively\b
    | (?-i:OR)\W*\Z)
    """,
    re.IGNORECASE | re.VERBOSE,
)
FAREWELL = re.compile(
    r"""\b(?:let\ me\ know\b|hope\ (?:this|that|it)\ (?:helps|is|works|meets)
      |feel\ free\ to\ (?:ask|let|reach|use|adjust|modify|change|request)|happy\ to\ (?:help|adjust)
      |would\ you\ like\b|do\ you\ (?:want|need)\b|is\ there\ anything\b|shall\ i\b
      |if\ you(?:['’]d|\ would)?\ (?:like|need|want)\b|want\ me\ to\b|what\ do\ you\ think\b
      |was\ meinst\ du|was\ denken\ sie|qu['’]en\ pens|qué\ (?:te\ parece|opinas)
      |o\ que\ (?:você\ )?acha|che\ ne\ pens[ia]
      |ich\ hoffe|lassen\ sie\ (?:es\ )?mich
      |sag(?:en\ sie)?\ mir|bescheid|möchte(?:n\ sie|st\ du)|soll\ ich
      |n['’]hésite[sz]?\ pas|faites[- ](?:le[- ])?moi\ savoir|dites[- ]moi|voulez[- ]vous
      |souhaitez[- ]vous|j['’]espère\ que|hazme\ saber|avísame|házmelo|te\ gustaría|quieres
      |espero\ que|no\ dudes|me\ avise|avise[- ]me|deixe[- ]me|gostaria|fammi\ sapere
      |fatemi\ sapere|spero\ che|vuoi\ che|laat\ (?:het\ )?(?:me|mij)|wilt\ u|wil\ je
      |daj(?:cie)?\ (?:mi\ )?znać|mam\ nadzieję|дайте\ (?:мне\ )?знать|сообщите|надеюсь|хотите
      |låt\ mig|säg\ till|lad\ mig|sig\ til|beri\ ?tahu\ saya|semoga|bana\ bildir|umarım
      |cho\ tôi\ biết|hy\ vọng|bạn\ có\ (?:muốn|cần)|posso\ ajudar|isteğiniz|yardımcı\ ol
      |ελπίζω|θα\ θέλατε|πείτε\ μου)
    | 告诉我|告訴我|希望[这這对對能]|如果您|如需|[还還]有什[么麼]|[帮幫]您
    | お知らせください|教えてください|いかがでしょう|お申し付け|お役に立て
    | 알려\ ?주세요|말씀해\ ?주세요|도움이\ 되|필요하신|궁금하신
    | أخبرني|آمل\ أن|هل\ (?:تريد|ترغب|تحتاج)
    | امیدوارم|می.?خواهید|מקווה\ ש|האם\ תרצ|بتائیں|बताएं|बताइए|क्या\ आप|आशा\ है""",
    re.IGNORECASE | re.VERBOSE,
)
"""A sentence that speaks to the user. A caption speaks to nobody."""
_QUOTED = re.compile('["“”«»「」『』„]')
TITLE = re.compile(
    rf"\A(?:[\W_]*(?:\w+ ){{0,2}}{NOUN}[^\w\n]*\n|[^\n]{{0,30}}(?:{_SPACELESS})[^\n]{{0,20}}\n)",
    re.IGNORECASE,
)
"""A first line that only names what follows."""
SIGNS = re.compile(
    "\\A(?:[\u2190-\u21ff\u2300-\u245f\u2474-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff\ufe0f»›>]+\\s+)+"
)
"""Arrows and pictograms at the beginning."""
_TAGS = re.compile(
    r"(?:(?<=[.!?。！？])(?:\s*#[^\W\d]\w*)+|(?:\s+#[^\W\d]\w*){2,}"
    "|(?<=[.!?。！？])\\s*[\u2600-\u27bf\U0001f300-\U0001faff\ufe0f\u200d]+)\\s*\\Z"
)
"""Hashtags behind a text, and pictograms behind its last sentence."""


def without_end(text: str) -> str:
    """The text without hashtags and marks at its end, and from a sentence on that is no caption.

    Such a sentence speaks to the user, or is a note about the caption. The first one stays.
    """
    text = without_tail(_TAGS.sub("", text))
    pieces = [each for line in text.splitlines(keepends=True) for each in split_sentences(line)]
    for at, each in enumerate(pieces):
        spoken = FAREWELL.search(each) and not _QUOTED.search(each)
        if at and (_NOTE.match(each) or spoken):
            return "".join(pieces[:at]).rstrip(" \t\r\n*_([（-")
    return text
