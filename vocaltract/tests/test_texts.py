"""Sentences: what the shipped files hold, what a wrong line of a file says."""

import itertools
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from vocaltract import languages
from vocaltract.errors import VocalTractError
from vocaltract.languages.texts import FOLDER, letters, read, texts

LANGUAGES = ("en", "it", "de", "es", "nl", "zh", "fi", "hi")
SCRIPTS = {"zh": "CJK", "hi": "DEVANAGARI"}
PAUSES = ",;:，；：、—"


@pytest.fixture
def file(tmp_path: Path):
    """A function that writes a file of sentences."""

    def write(content: str) -> Path:
        path = tmp_path / "xx.txt"
        path.write_text(content, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_its_sentences(language):
    sentences = texts(language)
    sets = [sentence.set for sentence in sentences]
    assert sets == ["main"] * (len(sets) - 8) + ["interventions"] * 8
    assert len(sets) >= 64
    assert [sentence.number for sentence in sentences] == list(range(1, len(sets) + 1))
    assert sum(sentence.text[-1] in "?？" for sentence in sentences) >= 3
    assert not any(set(PAUSES) & set(sentence.text + sentence.spoken) for sentence in sentences[-8:])


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_in_the_language_s_own_script(language):
    script = SCRIPTS.get(language, "LATIN")
    for sentence in texts(language):
        assert all(unicodedata.name(letter).startswith(script) for letter in letters(sentence.text)), sentence
        assert sentence.text == unicodedata.normalize("NFC", sentence.text)


def test_no_file_without_a_language():
    assert {path.stem for path in FOLDER.iterdir()} == set(LANGUAGES)


def test_only_mandarin_is_spoken_from_another_spelling():
    for language in LANGUAGES:
        for sentence in texts(language):
            assert (sentence.text == sentence.spoken) == (language != "zh")


def test_a_file_is_read(file):
    path = file("# comment\n\n[main]\n  Il pane è caldo.\n# another\nChi canta?\n[interventions]\nLa luna sale.\n")
    first, second, third = read(path, pinyin=False)
    assert (first.number, first.text, first.spoken, first.set) == (1, "Il pane è caldo.", "Il pane è caldo.", "main")
    assert (second.number, second.text, second.set) == (2, "Chi canta?", "main")
    assert (third.number, third.text, third.set) == (3, "La luna sale.", "interventions")


def test_pinyin_beside_hanzi(file):
    (sentence,) = read(file("[main]\n下雨了，走吧！ | xia4 yu3 le5, zou3 ba5!\n"), pinyin=True)
    assert (sentence.text, sentence.spoken) == ("下雨了，走吧！", "xia4 yu3 le5, zou3 ba5!")


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("A cup.\n", 1, "before"),
        ("[main]\nA cup.\n\n[rest]\n", 4, "not one of"),
        ("[interventions]\nA cup.\n[main]\n", 3, "in this order"),
        ("[main]\nA cup\n", 2, "end"),
        ("[main]\n# a\nA cup of 2 things.\n", 3, "digits"),
        ("[main]\nA cup. | a cup\n", 2, "without"),
        ("[interventions]\nA cup, a plate.\n", 2, "pause"),
        ("[main]\nA cup.\nA plate.\n[interventions]\nA CUP?\n", 5, "as in line 2"),
        ("[main]\nA cup, full.\nA cup full.\n", 3, "as in line 2"),
    ],
)
def test_a_wrong_line_is_named(file, content, line, message):
    path = file(content)
    with pytest.raises(VocalTractError, match=message) as error:
        read(path, pinyin=False)
    assert str(error.value).startswith(f"{path}, line {line}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("下雨了。", "text | pinyin"),
        ("下雨了。 | xia4 yu3.", "3 characters but 2 syllables"),
        ("下雨了。 | xia4 yu le5.", "'yu' is no pinyin"),
        ("下雨了。 | xia4 yu6 le5.", "'yu6' is no pinyin"),
        ("下雨了。 | xia4 yu3 le5?", "punctuation"),
        ("下雨了，走吧。 | xia4 yu3, le5 zou3 ba5.", "punctuation"),
    ],
)
def test_wrong_pinyin_is_named(file, content, message):
    with pytest.raises(VocalTractError) as error:
        read(file(f"[main]\n{content}\n"), pinyin=True)
    assert message in str(error.value)
    assert ", line 2: " in str(error.value)


def test_vowel_signs_tell_sentences_apart(file):
    assert len(read(file("[main]\nवह काला है।\nवह कीला है।\n"), pinyin=False)) == 2


def test_an_unknown_language_is_named():
    with pytest.raises(VocalTractError, match="'fr'"):
        texts("fr")


@pytest.mark.parametrize("language", LANGUAGES)
def test_phones_are_covered(language):
    """A phone of the inventory occurs at least twice, and once in the first twelve sentences: those that ship."""
    spoken = [
        [phone.ipa for phone in languages.speak(sentence.spoken, language).phones]
        for sentence in texts(language)
        if sentence.set == "main"
    ]
    counts = Counter(itertools.chain.from_iterable(spoken))
    first = set(itertools.chain.from_iterable(spoken[:12]))
    assert len(first & set(counts)) >= 0.95 * len(counts), set(counts) - first
    assert sum(count >= 2 for count in counts.values()) >= 0.95 * len(counts)
    assert sum(count for count in counts.values() if count >= 5) >= 0.97 * counts.total()
