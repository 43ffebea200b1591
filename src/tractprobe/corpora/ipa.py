r"""Phone symbols of corpora, converted to IPA.

A reader keeps the corpus's own symbols and names their set; here each set becomes IPA in one canonical form, so that a
phone is the same string whatever corpus it comes from: NFC, ``ɡ`` (not ``g``), ``ː`` (not ``:``), ``ɚ`` (not ``ə˞``),
affricates without tie bar or ligature (``tʃ``), without stress and tone, which belong to the syllable. A phone has at
most three letters (``uai``); a longer string is a word.

============  ==========================================================================================================
ipa           IPA itself; anything outside the letters and diacritics of the 2020 chart is unknown
arpabet       TIMIT's 61 symbols (phoncode.doc) and CMU's 39, either case; CMU's AH0 and ER0 are ``ə`` and ``ɚ``; a
(timit)       closure (``pcl``) is an unreleased stop (``p̚``); noises of the Penn aligner are not phones
xsampa        X-SAMPA (Wells 1995); the longest matching symbol wins
maus          X-SAMPA as MAUS and German databases use it: pauses ``<p:>`` ``&p:`` ``#``, aspiration phase ``kh``
mocha         MOCHA-TIMIT's labels: Edinburgh's machine readable alphabet (MRPA) for British English
combilex      Combilex's British English, used by mngu0: SAMPA without length marks
mspka         MSPKA's Italian: SAMPA, geminates written double (``tts`` = ``tːs``), ``nf`` ``ng`` for ``ɱ`` ``ŋ``
pb2007        PB2007's French: the alphabet of ICP Grenoble, in which ``^`` opens a vowel or retracts a sibilant
============  ==========================================================================================================
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache

from tractprobe.system.errors import ConfigError

SILENCE = "sil"
"""Stands for a stretch without a phone: silence, breath, noise. It is not IPA."""

UNKNOWN = "?"
"""Stands for a phone with a symbol that is not in its set: labelled speech that is kept and counted, not dropped."""

BILABIAL = frozenset("pbm")
"""IPA letters of stops and nasals during which the lips close."""

_SILENCES = frozenset({"", "#", "_", "<p>", "<p:>", "<sil>", "sil", "sp", "pau", "breath"})


def to_ipa(phone_set: str, label: str) -> str | None:
    """Return a phone's symbol in IPA, SILENCE if the label means that there is no phone, None if it is unknown.

    >>> to_ipa("arpabet", "CH"), to_ipa("maus", "i:"), to_ipa("mocha", "breath"), to_ipa("arpabet", "QQ")
    ('tʃ', 'iː', 'sil', None)

    Raises
    ------
    ConfigError
        No such phone set.
    """
    if phone_set not in _CONVERTERS:
        raise ConfigError(f"no phone set {phone_set!r}; expected one of {', '.join(PHONE_SETS)}")
    return _to_ipa(phone_set, label)


def unknown_symbols(phone_set: str, labels: Iterable[str]) -> Counter[str]:
    """Count the labels that ``to_ipa`` does not know, for a summary of what became UNKNOWN."""
    return Counter(label for label in labels if to_ipa(phone_set, label) is None)


def closes_lips(ipa: str) -> bool:
    """Tell whether the lips close during a phone: ``p b m`` with any diacritics, ``pf``, ``kp``.

    >>> closes_lips("pʰ"), closes_lips("mː"), closes_lips("f"), closes_lips(SILENCE)
    (True, True, False, False)
    """
    return not BILABIAL.isdisjoint(ipa)


@lru_cache(maxsize=4096)
def _to_ipa(phone_set: str, label: str) -> str | None:
    label = label.strip()
    return SILENCE if label.lower() in _SILENCES else _CONVERTERS[phone_set](label)


# IPA itself

_LETTERS = (
    "pbtdʈɖcɟkɡqɢʔmɱnɳɲŋɴʙrʀⱱɾɽɸβfvθðszʃʒʂʐçʝxɣχʁħʕhɦɬɮʋɹɻjɰlɭʎʟ"  # pulmonic consonants
    "ʘǀǃǂǁɓɗʄɠʛʍwɥʜʢʡɕʑɺɧɫ"  # clicks, implosives, other symbols
    "iyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒɚɝ"  # vowels
)
_BEFORE = "ʰⁿᵐᵑˀ"
_AFTER = (
    "\u0325\u030a\u032c\u0339\u031c\u031f\u0320\u0308\u033d\u0329\u030d\u032f\u0311\u0324\u0330\u033c\u0334"
    "\u031d\u031e\u0318\u0319\u032a\u033a\u033b\u0303\u031a\u0306ʰʱʷʲˠˤˀⁿˡʼ˞ːˑ"
)
_PHONE = re.compile(f"(?:[{_BEFORE}]?[{_LETTERS}][{_AFTER}]*){{1,3}}")
_VARIANTS = {
    **dict.fromkeys("ˈˌ˥˦˧˨˩\u0361\u035c", ""),  # stress, tone, tie bars
    **{"g": "ɡ", ":": "ː", "ə˞": "ɚ", "ɜ˞": "ɝ", "l\u0334": "ɫ", "c\u0327": "ç"},
    **{"ʦ": "ts", "ʣ": "dz", "ʧ": "tʃ", "ʤ": "dʒ", "ʨ": "tɕ", "ʥ": "dʑ"},
}


def _canonical(ipa: str) -> str | None:
    decomposed = unicodedata.normalize("NFD", ipa)
    for variant, letters in _VARIANTS.items():
        decomposed = decomposed.replace(variant, letters)
    return unicodedata.normalize("NFC", decomposed) if _PHONE.fullmatch(decomposed) else None


def _table(rows: str) -> dict[str, str]:
    """Read pairs of a symbol and its IPA; a dotted circle only carries a diacritic."""
    words = rows.replace("◌", "").split()
    return dict(zip(words[::2], words[1::2], strict=True))


# X-SAMPA, and sets that differ from X-SAMPA in a few symbols

_XSAMPA = {letter: letter for letter in "abcdefhijklmnopqrstuvwxyz"} | _table(r"""
    g ɡ   A ɑ   B β   C ç   D ð   E ɛ   F ɱ   G ɣ   H ɥ   I ɪ   J ɲ   K ɬ   L ʎ   M ɯ   N ŋ   O ɔ   P ʋ   Q ɒ
    R ʁ   S ʃ   T θ   U ʊ   V ʌ   W ʍ   X χ   Y ʏ   Z ʒ   1 ɨ   2 ø   3 ɜ   4 ɾ   5 ɫ   6 ɐ   7 ɤ   8 ɵ   9 œ
    @ ə   { æ   } ʉ   & ɶ   ? ʔ   @` ɚ   3` ɝ   d` ɖ   l` ɭ   n` ɳ   r` ɽ   s` ʂ   t` ʈ   z` ʐ   r\` ɻ
    h\ ɦ   j\ ʝ   l\ ɺ   p\ ɸ   r\ ɹ   s\ ɕ   v\ ʋ   x\ ɧ   z\ ʑ   B\ ʙ   G\ ɢ   H\ ʜ   J\ ɟ   K\ ɮ   L\ ʟ
    M\ ɰ   N\ ɴ   R\ ʀ   X\ ħ   @\ ɘ   3\ ɞ   ?\ ʕ   <\ ʢ   >\ ʡ   I\ ɪ̈   U\ ʊ̈   O\ ʘ   |\ ǀ   |\|\ ǁ   !\ ǃ
    =\ ǂ   b_< ɓ   d_< ɗ   J\_< ʄ   g_< ɠ   G\_< ʛ
    : ◌ː   :\ ◌ˑ   ` ◌˞   = ◌̩   _= ◌̩   ~ ◌̃   _~ ◌̃   ' ◌ʲ   _j ◌ʲ   _h ◌ʰ   _w ◌ʷ   _> ◌ʼ   _G ◌ˠ   _?\ ◌ˤ
    _l ◌ˡ   _n ◌ⁿ   _" ◌̈   _+ ◌̟   _- ◌̠   _0 ◌̥   _v ◌̬   _t ◌̤   _k ◌̰   _d ◌̪   _a ◌̺   _m ◌̻   _N ◌̼   _O ◌̹
    _c ◌̜   _r ◌̝   _o ◌̞   _A ◌̘   _q ◌̙   _x ◌̽   _X ◌̆   _^ ◌̯   _} ◌̚   _e ◌̴   _ ◌͡
""")
_XSAMPA |= dict.fromkeys(('"', "%", "_T", "_H", "_M", "_L", "_B", "_R", "_F", "_/", "_\\"), "")  # stress and tone
_XSAMPA_SYMBOL = re.compile("|".join(re.escape(symbol) for symbol in sorted(_XSAMPA, key=len, reverse=True)))


def _from_xsampa(label: str) -> str | None:
    symbols, position = [], 0
    while position < len(label):
        symbol = _XSAMPA_SYMBOL.match(label, position)
        if symbol is None:
            return None
        symbols.append(_XSAMPA[symbol[0]])
        position = symbol.end()
    return _canonical("".join(symbols))


_MAUS = _table("ph pʰ   th tʰ   kh kʰ") | dict.fromkeys(("&p:", "<", ">", "H#", "<nib>", "<usb>"), SILENCE)

_COMBILEX = _table("""
    i iː   u uː   A ɑː   O ɔː   3 ɜː   @@ ɜː   a æ   r ɹ   lw ɫ   l! l̩   m! m̩   n! n̩
""")

_MSPKA = _table("nf ɱ   ng ŋ")


def _from_mspka(label: str) -> str | None:
    if label in _MSPKA:
        return _MSPKA[label]
    unstressed = re.sub(r"(?<=[aeEioOu])1$", "", label)
    return _from_xsampa(re.sub(r"^([a-zSJL])\1", r"\1:", unstressed))


# Sets of their own

_ARPABET_VOWELS = _table("""
    aa ɑ   ae æ   ah ʌ   ao ɔ   aw aʊ   ax ə   axr ɚ   ay aɪ   eh ɛ   er ɝ   ey eɪ   ih ɪ   ix ɨ   iy i   ow oʊ
    oy ɔɪ   uh ʊ   uw u   ux ʉ
""")
_ARPABET = {vowel + stress: ipa for vowel, ipa in _ARPABET_VOWELS.items() for stress in ["", *"012"]} | _table("""
    ah0 ə   er0 ɚ   ax-h ə̥
    b b   ch tʃ   d d   dh ð   dx ɾ   f f   g ɡ   hh h   hv ɦ   jh dʒ   k k   l l   m m   n n   ng ŋ   nx ɾ̃
    p p   q ʔ   r ɹ   s s   sh ʃ   t t   th θ   v v   w w   wh ʍ   y j   z z   zh ʒ   el l̩   em m̩   en n̩   eng ŋ̩
    pcl p̚   bcl b̚   tcl t̚   dcl d̚   kcl k̚   gcl ɡ̚
""")
_ARPABET |= dict.fromkeys(("h#", "#h", "epi", "br", "cg", "lg", "ls", "ns"), SILENCE)

_MOCHA = _table("""
    @ ə   @@ ɜː   a æ   aa ɑː   e ɛ   i ɪ   ii iː   iy i   o ɒ   oo ɔː   u ʊ   uh ʌ   uu uː
    ai aɪ   au aʊ   ei eɪ   oi ɔɪ   ou əʊ   ow aʊ   e@ ɛə   eir ɛə   i@ ɪə   u@ ʊə   ur ʊə
    b b   ch tʃ   d d   dh ð   f f   g ɡ   h h   jh dʒ   k k   l l   m m   n n   ng ŋ   p p   r ɹ   s s   sh ʃ
    t t   th θ   v v   w w   y j   z z   zh ʒ
""")

_PB2007 = _table("""
    a a   e e   e^ ɛ   i i   o o   o^ ɔ   u u   y y   x ø   x^ œ   q ə   a~ ɑ̃   e~ ɛ̃   o~ ɔ̃   x~ œ̃
    h ɥ   j j   w w   b b   d d   f f   g ɡ   k k   l l   m m   n n   n~ ɲ   p p   r ʁ   s s   s^ ʃ   t t
    v v   z z   z^ ʒ
""") | {"__": SILENCE}


def _from_ipa(label: str) -> str | None:
    return None if label == "spn" else _canonical(label)  # the Montreal aligner's mark for unknown words


def _looked_up(table: dict[str, str], label: str) -> str | None:
    ipa = table.get(label)
    return ipa if ipa is None or ipa == SILENCE else _canonical(ipa)


_CONVERTERS: dict[str, Callable[[str], str | None]] = {
    "ipa": _from_ipa,
    "arpabet": lambda label: _looked_up(_ARPABET, label.lower()),
    "timit": lambda label: _looked_up(_ARPABET, label.lower()),
    "xsampa": _from_xsampa,
    "maus": lambda label: _looked_up(_MAUS, label) or _from_xsampa(label),
    "mocha": lambda label: _looked_up(_MOCHA, label),
    "combilex": lambda label: _looked_up(_COMBILEX, label) or _from_xsampa(label),
    "mspka": _from_mspka,
    "pb2007": lambda label: _looked_up(_PB2007, label),
}

PHONE_SETS = tuple(_CONVERTERS)
"""The phone sets that an Utterance may name."""
