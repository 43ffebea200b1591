"""Phones of known words, times, determinism, Mandarin."""

import json
import subprocess
import sys

import pytest

from vocaltract import languages
from vocaltract.errors import VocalTractError
from vocaltract.languages import durations, mandarin, syllables, symbols
from vocaltract.languages.inventory import spoken_texts
from vocaltract.languages.sounds import Sound, is_vowel
from vocaltract.movement.phones import PHONES

# What a phonetician writes for these words (Illustrations of the IPA; Wiktionary agrees), in our symbols.
WORDS = {
    "en": {
        "tiger": "tʰ aɪ ɡ ɚ",
        "spin": "s p ɪ n",
        "water": "w ɔː ɾ ɚ",
        "bottle": "b ɑː ɾ ə ɫ",
        "sudden": "s ʌ d ə n",
        "measure": "m ɛ ʒ ɚ",
        "lull": "l ʌ ɫ",
        "near": "n ɪ ɹ",
        "three": "θ ɹ iː",
    },
    "it": {
        "notte": "n ɔ t̪ː e",
        "note": "n ɔ t̪ e",
        "figlio": "f i ʎː o",
        "pizza": "p i tsː a",
        "passo": "p a sː o",
        "soffia": "s o fː j a",
        "fornaio": "f o r n a j o",
        "lei": "l ɛi",
        "gnocchi": "ɲ o kː i",
        "zaino": "dz ai n o",
    },
    "de": {
        "Hund": "h ʊ n t",
        "Tage": "tʰ aː ɡ ə",
        "Tag": "tʰ aː k",
        "Bruder": "b ʁ uː d ɐ",
        "ich": "ɪ ç",
        "Bach": "b a χ",
        "Buch": "b uː x",
        "Pferd": "pf eː ɐ t",
        "schön": "ʃ øː n",
        "deutsch": "d ɔʏ tʃ",
        "Straßenbahn": "ʃ t ʁ aː s ə n b aː n",
        "Abend": "ʔ aː b ə n t",
    },
    "es": {
        "lado": "l a ð̞ o̞",
        "dedo": "d̪ e̞ ð̞ o̞",
        "agua": "a ɣ̞ w a",
        "perro": "p e̞ r o̞",
        "pero": "p e̞ ɾ o̞",
        "mismo": "m i z m o̞",
        "niño": "n i ɲ o̞",
        "almuerzo": "a l m w e̞ ɾ θ o̞",
        "barrio": "b a r j o̞",
    },
    "nl": {
        "goed": "ɣ u t",
        "huis": "ɦ œʏ s",
        "honden": "ɦ ɔ n d ə n",
        "hond": "ɦ ɔ n t",
        "katje": "k ɑ c ə",
        "tijd": "t ɛɪ t",
        "leuk": "l øː k",
        "schip": "s x ɪ p",
        "water": "ʋ aː t ə r",
    },
    "fi": {
        "tuli": "t̪ u l i",
        "tuuli": "t̪ uː l i",
        "tulli": "t̪ u lː i",
        "hyvää": "h y ʋ æː",
        "yö": "yø",
        "kaupungin": "k ɑu p u ŋː i n",
        "hänkö": "h æ ŋ k ø",
        "vihan": "ʋ i ɦ ɑ n",
    },
    "hi": {
        "दाल": "d̪ aː l",
        "डाल": "ɖ aː l",
        "खाना": "kʰ aː n aː",
        "घर": "ɡʱ ə ɾ",
        "धूप": "d̪ʱ uː p",
        "ठंडा": "ʈʰ ə ɳ ɖ aː",
        "बच्चा": "b ə tʃː aː",
        "सुनकर": "s ʊ n k ə ɾ",
        "बहन": "b ɛ ɦ ɛ n",
        "फूलों": "pʰ uː l õː",
        "क्या": "k j aː",
    },
    "zh": {
        "zhuang1": "tʂ w ɑ ŋ",
        "xue2": "ɕ ɥ ɛ",
        "si4": "s ɿ",
        "shi4": "ʂ ʅ",
        "qu4": "tɕʰ y",
        "er4": "ɚ",
        "yuan2": "ɥ ɛ n",
        "bo1": "p w o",
        "liu2": "l j oʊ",
        "wen4": "w ə n",
    },
}


def phones(text: str, language: str) -> str:
    return " ".join(phone.ipa for phone in languages.speak(text, language).phones)


@pytest.mark.parametrize(
    ("language", "word", "ipa"), [(language, *pair) for language, words in WORDS.items() for pair in words.items()]
)
def test_known_words(language: str, word: str, ipa: str) -> None:
    assert phones(word, language) == ipa


@pytest.mark.parametrize("language", languages.LANGUAGES)
def test_every_sentence_has_known_phones_and_times_in_order(language: str) -> None:
    for spoken in spoken_texts(language):
        assert spoken.phones[0].start_s == 0.0
        assert all(phone.ipa in PHONES for phone in spoken.phones)
        assert all(0.02 <= phone.end_s - phone.start_s < 0.45 for phone in spoken.phones), spoken.text
        for before, after in zip(spoken.phones, spoken.phones[1:], strict=False):
            assert before.end_s <= after.start_s, spoken.text
            assert 0 <= after.word - before.word <= 1 and 0 <= after.syllable - before.syllable <= 1, spoken.text
        assert all(is_vowel(phone.ipa) for phone in spoken.phones if phone.stress or phone.tone)
        assert spoken.question == spoken.text.endswith("?")


@pytest.mark.parametrize("language", languages.LANGUAGES)
def test_reading_rate_is_human(language: str) -> None:
    spoken = [phone for sentence in spoken_texts(language) for phone in sentence.phones]
    assert 11.0 <= len(spoken) / sum(phone.end_s - phone.start_s for phone in spoken) <= 15.0


@pytest.mark.parametrize(
    ("long", "short", "language"), [("fatto", "fato", "it"), ("tulli", "tuli", "fi"), ("matto", "mato", "fi")]
)
def test_geminates_are_half_as_long_again_or_more(long: str, short: str, language: str) -> None:
    geminate, single = (languages.speak(word, language).phones[2] for word in (long, short))
    assert geminate.end_s - geminate.start_s > 1.5 * (single.end_s - single.start_s)


def test_short_phones_borrow_from_the_one_before() -> None:
    sounds = [Sound("a", 0.200), Sound("ɫ", 0.010), Sound("a", 0.045), Sound("t", 0.010)]
    times = [(phone.start_s, phone.end_s) for phone in durations.phones(sounds)]
    lacks = durations.minimum_s("t") - 0.010  # a vowel of 45 ms has nothing to spare
    assert times[1] == (pytest.approx(0.210 - durations.minimum_s("ɫ")), pytest.approx(0.210))
    assert times[3] == (pytest.approx(0.255), pytest.approx(0.265 + lacks))


def test_stress_and_syllables() -> None:
    spoken = languages.speak("A banana and the extra pastry.", "en").phones
    banana = [phone for phone in spoken if phone.word == 1]
    assert [phone.stress for phone in banana if is_vowel(phone.ipa)] == [0, 2, 0]
    assert [sum(phone.syllable == number for phone in banana) for number in (1, 2, 3)] == [2, 2, 2]
    assert phones("hablar", "es").split()[1:3] == ["β̞", "l"]


def test_onsets_are_maximal() -> None:
    sounds = [Sound(ipa, 0.1) for ipa in "ɛ k s t ɹ ə ŋ i".split()]
    syllables.number(sounds, frozenset({("s", "t", "ɹ"), ("t", "ɹ")}), frozenset({"ŋ"}))
    assert [sound.syllable for sound in sounds] == [0, 0, 1, 1, 1, 1, 1, 2]


def test_lenition_depends_on_what_is_before() -> None:
    assert phones("un dedo", "es") == "u n̪ d̪ e̞ ð̞ o̞"
    assert phones("la dama", "es") == "l a ð̞ a m a"


def test_pause_at_a_comma() -> None:
    gaps = [
        after.start_s - before.end_s
        for text, language in (("Wir gehen, wenn du kommst.", "de"), ("ni3 hao3, wo3 lai2.", "zh"))
        for spoken in [languages.speak(text, language)]
        for before, after in zip(spoken.phones, spoken.phones[1:], strict=False)
        if after.start_s > before.end_s
    ]
    assert len(gaps) == 2 and all(0.1 < gap < 0.5 for gap in gaps)


@pytest.mark.parametrize(
    ("text", "tones"),
    [
        ("ni3 hao3", [2, 3]),
        ("wo3 ye3 hen3 hao3", [2, 2, 2, 3]),
        ("hao3, hao3", [3, 3]),
        ("yi1 tian1", [4, 1]),
        ("yi1 ge4", [2, 4]),
        ("yi1 qi3", [4, 3]),
        ("di4 yi1 ke4", [4, 1, 4]),
        ("yi1 sheng1", [1, 1]),
        ("bu4 shi4", [2, 4]),
        ("bu4 hao3", [4, 3]),
        ("kan4 bu4 kan4", [4, 5, 4]),
        ("ma1 ma5", [1, 5]),
    ],
)
def test_tone_sandhi(text: str, tones: list[int]) -> None:
    assert [syllable.tone for syllable in mandarin.sandhi(mandarin.parse(text))] == tones


def test_neutral_tone_is_short_and_the_last_syllable_long() -> None:
    spoken = languages.speak("ma1 ma5 ma1 ma1", "zh").phones
    length = [phone.end_s - phone.start_s for phone in spoken if phone.ipa == "a"]
    assert length[1] < 0.7 * length[2] < 0.7 * length[3]
    assert [phone.tone for phone in spoken] == [None, 1, None, 5, None, 1, None, 1]


@pytest.mark.parametrize("word", ["bia4", "gi1", "fong1", "ma", "ma6", "xyz1"])
def test_no_pinyin(word: str) -> None:
    with pytest.raises(VocalTractError, match=word[:-1] if word[-1].isdigit() else word):
        languages.speak(f"ni3 {word}", "zh")


def test_unknown_symbol_names_symbol_word_and_language() -> None:
    with pytest.raises(VocalTractError, match=r"'X!'.*'Wort'.*'de'"):
        symbols.load("de").ipa("X!", "Wort")


def test_unknown_language() -> None:
    with pytest.raises(VocalTractError, match="'xx'"):
        languages.speak("hello", "xx")


def test_other_languages_before_and_other_processes_change_nothing() -> None:
    text = "Die Köchin würzt die Soße."
    first = languages.speak(text, "de")
    languages.speak("Hyvää päivää.", "fi")
    assert languages.speak(text, "de") == first
    listed = f"[[p.ipa, p.start_s, p.end_s] for p in speak({text!r}, 'de').phones]"
    code = f"import json; from vocaltract.languages import speak; print(json.dumps({listed}))"
    other = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert other == [[phone.ipa, phone.start_s, phone.end_s] for phone in first.phones]
