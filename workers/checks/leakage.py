"""Refuses captions in which a model repeats its instructions or talks about itself."""

# ruff: noqa: RUF001  # what models write in many scripts

from __future__ import annotations

import re

from kaption.schemas import Caption, CheckResult
from kaption.workers.checks.check import GENERATED

# Phrases of our prompts and of the usual chat templates that no description of an image contains.
_INSTRUCTIONS = re.compile(
    r"""
      \b(user|assistant|human|system|question|answer|appearance|texture|context|caption)\s*:
    | <\|?\s*/?(image|im_start|im_end|s|pad|eos|bos|unk|endoftext|start|end|inst)\b[^>]*>
    | \[/?inst\]
    | \bonly\ what\ (you|is|can\ be)\ (see|seen|visible)
    | \bdescribe\ (the|this|what|only|its|in)\b
    | \bthe\ web\ page\ (says|calls)\b
    | \bas\ an?\ (ai|artificial|language\ model)\b
    | \b(i|we)\ (cannot|can\ ?not|can['’]t|could\ not|couldn['’]t|am\ unable
        |(do\ not|don['’]t)\ (see|have)|['’]?m\ unable|am\ not\ able|am\ sorry)\b
    | \bi['’]m\ (unable|sorry|afraid|not\ able)\b
    | \A\W*((sorry|unfortunately)(,|[.!]|\ but\b)|unable\ to\b)
    | \bno\ (image|picture|photo)\ (to\ describe|((was|is|has\ been|could\ be)\ )?(provided
        |attached|given|uploaded|visible|shown|available|loaded|found))\b
    | \b(je\ (ne\ (peux|vois)|suis\ désolé)|désolée?,\ (mais\ )?je\b|lo\ siento|no\ puedo\ (ver|des)
        |desculpe|não\ (posso|consigo)\ (ver|des)|mi\ dispiace|non\ (posso|riesco)\b
        |(ich\ kann|kann\ ich)\b[^.]{0,60}\b(nicht|kein\w*)\b|es\ tut\ mir\ leid
        |tut\ mir\ leid|het\ spijt\ me|ik\ kan\b[^.]{0,60}\b(niet|geen)\b
        |przykro\ mi|nie\ mogę\ (zobaczyć|opisać)|извините|к\ сожалению|я\ не\ (могу|вижу))\b
    | 我无法|我不能|无法(查看|看到|识别|描述)|見ることができません
    | 볼\ 수\ 없습니다|आ?माफ़\ कीजि|क्षमा\ कर|لا\ (أستطيع|يمكنني)|عذر[اًا]+|آسف
    | \b(ich\ sehe|je\ ne\ vois|no\ veo|não\ vejo|non\ vedo|ik\ zie|nie\ widzę)
        \ (kein|pas|ning|nenh|ness|geen|żadn)?\w*\ ?(d['’])?
        (bild|image|imagen|imagem|immagin|afbeelding)
    | \A\W*(bitte\ laden\ sie|por\ favor,?\ (sube|suba|proporcion|comparte|envi)|veuillez\ fournir)
    | \b(image|picture|text|prompt)\ (that\ )?you\ (have\ )?(provided|gave|given|uploaded)\b
    | \A\W*(please|kindly|(could|can|would)\ you)\b[^.?!]{0,20}
        \b((re-?)?upload|provide|share|attach|(re)?send)\b
    | \A\W*(my\ )?apologies\b
    | \b(image|picture|photo)\ is\ too\ \w+\ to\ (be\ )?(describe|identify|determine|recogni[sz]e
        |caption|tell|interpret) | \byour\ request\b
    | \b(content|usage|safety)\ (policy|policies|guidelines)\b
    | \b(image|picture|photo)\ (could\ not|couldn['’]t|cannot|can['’]t|did\ not|didn['’]t
        |failed\ to)\ (be\ )?(load|display|show|process|open|view|access)
    """,
    re.IGNORECASE | re.VERBOSE,
)

_SORRY = r"""
désolée?,|malheureusement|je ne (peux|suis pas)|il m['’]est impossible|excusez-moi
leider|entschuldigung|ich bin nicht in der lage|ich kann nicht|es ist mir nicht
lo lamento|lamentablemente|desafortunadamente|perdón|disculpa|no puedo|no es posible
infelizmente|sinto muito|lamento,|não é possível|peço desculpa
purtroppo|scusa(te|mi)?,|non posso|non è possibile
helaas|niestety|przepraszam|nie mogę|bohužel|omlouvám se|nemohu|ľutujem|žiaľ|prepáčte|nemôžem
sajnál(om|juk)|sajnos|elnézést|nem tudo[km]|îmi pare rău|din păcate|nu pot
tyvärr|jag kan inte|desværre|dessverre|beklager|jeg kan ikke
valitettavasti|anteeksi|pahoittelen|en voi|vabandust|kahjuks|atsiprašau|atvainojiet|diemžēl
žao mi je|nažalost|ne mogu|oprostite|žal|opravičujem se|ho sento|em sap greu|no puc
üzgünüm|maalesef|ne yazık ki|özür dilerim|xin lỗi|rất tiếc|tôi không thể
maaf,|mohon maaf|saya tidak (dapat|bisa)|samahani|siwezi|paumanhin|pasensya
λυπάμαι|δυστυχώς|συγγνώμη|δεν μπορώ|простите|увы|прошу прощения|я не могу
вибачте|на жаль|перепрошую|не можу|съжалявам|за съжаление|не мога|жао ми је|нажалост
מצטער|סליחה|לצערי|אני לא יכול|איני יכול|متأسف\w*|متاسف\w*|ببخشید|نمی.?توانم|معذرت|افسوس|للأسف
দুঃখিত|மன்னிக்கவும்|క్షమించండి|ಕ್ಷಮಿಸಿ|ക്ഷമിക്കണം|માફ કરશો|ਮਾਫ਼ ਕਰਨਾ|माफ करा
"""
"""How models say in other languages that they are sorry or cannot. No caption begins so."""
_SORRY_SPACELESS = """
ขออภัย|ขอโทษ|ฉันไม่สามารถ|ผมไม่สามารถ|我無法|我看不到
(很|非常|实在|實在)?(抱歉|遗憾|遺憾|对不起|對不起|不好意思)[，,。.！!：我但这這]|请(您)?(重新)?(上传|提供|发送)
申し訳(ありません|ございません|ない(です)?[がけ])|ごめんなさい[。、]?|すみません|残念ながら|画像を表示できません
(画像|写真|イメージ)が(添付|提供|見え|表示)[^。]{0,12}(ません|ない)
죄송(합니다|하지만|해요)|유감|아쉽지만|안타깝지만
"""
_BEGINNING = re.compile(
    rf"\W*(?:(?:{'|'.join(_SORRY.strip().splitlines())})(?!\w)"
    rf"|{'|'.join(_SORRY_SPACELESS.strip().splitlines())})",
    re.IGNORECASE,
)


class LeakageCheck:
    """Passes captions of models without such phrases, and all others: they had no prompt."""

    name = "leakage"

    def check(self, caption: Caption) -> CheckResult:
        """Look for the first instruction-like phrase."""
        generated = caption.kind in GENERATED
        text = caption.text
        found = (_INSTRUCTIONS.search(text) or _BEGINNING.match(text)) if generated else None
        detail = f"instruction-like text: {found[0]!r}" if found else ""
        return CheckResult(name=self.name, passed=found is None, detail=detail)


build = LeakageCheck
