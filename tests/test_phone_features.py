import pytest

from tractprobe.corpora.ipa import _LETTERS as CHART
from tractprobe.corpora.ipa import SILENCE, UNKNOWN
from tractprobe.corpora.phone_features import _LETTERS, CATEGORIES, phone_features, values_of


def test_every_letter_of_the_chart_has_features_and_no_other():
    assert set(_LETTERS) == set(CHART)
    for letter, features in _LETTERS.items():
        consonant = features["manner"] != "vowel"
        assert set(features) == {"manner", "voicing", *(["place"] if consonant else ["height", "backness", "rounding"])}
        assert all(value in CATEGORIES[category] for category, value in features.items()), letter


@pytest.mark.parametrize(
    ("ipa", "manner", "voicing", "place"),
    [
        ("p", "stop", "voiceless", "bilabial"),
        ("ɲ", "nasal", "voiced", "palatal"),
        ("ʁ", "fricative", "voiced", "uvular"),
        ("ç", "fricative", "voiceless", "palatal"),
        ("l̩", "lateral", "voiced", "alveolar"),
        ("ɾ", "tap", "voiced", "alveolar"),
        ("w", "approximant", "voiced", "labiovelar"),
        ("tʃ", "affricate", "voiceless", "postalveolar"),
        ("ʈʂʰ", "affricate", "voiceless", "retroflex"),
        ("pf", "affricate", "voiceless", "labiodental"),
        ("kp", "stop", "voiceless", "labiovelar"),
        ("t̪", "stop", "voiceless", "dental"),
        ("d̥", "stop", "voiceless", "alveolar"),
        ("s̬", "fricative", "voiced", "alveolar"),
        ("ð̞", "approximant", "voiced", "dental"),
        ("dʒː", "affricate", "voiced", "postalveolar"),
    ],
)
def test_consonants_are_what_the_chart_says(ipa: str, manner: str, voicing: str, place: str):
    assert dict(phone_features(ipa)) == {"manner": manner, "voicing": voicing, "place": place}


@pytest.mark.parametrize(
    ("ipa", "height", "backness", "rounding"),
    [
        ("i", "close", "front", "unrounded"),
        ("ʊ", "close", "back", "rounded"),
        ("ə", "mid", "central", "unrounded"),
        ("œ̃", "mid", "front", "rounded"),
        ("ɔː", "mid", "back", "rounded"),
        ("æ", "open", "front", "unrounded"),
        ("ɑ", "open", "back", "unrounded"),
        ("ɚ", "mid", "central", "unrounded"),
    ],
)
def test_vowels_are_what_the_chart_says(ipa: str, height: str, backness: str, rounding: str):
    expected = {"manner": "vowel", "voicing": "voiced", "height": height, "backness": backness, "rounding": rounding}
    assert dict(phone_features(ipa)) == expected


def test_a_diphthong_has_what_its_ends_share():
    assert "height" not in phone_features("aʊ") and "rounding" not in phone_features("aʊ")
    assert phone_features("aɪ")["rounding"] == "unrounded" and phone_features("aɪ")["manner"] == "vowel"
    assert "manner" not in phone_features("ɔɹ") and phone_features("ɔɹ")["voicing"] == "voiced"


def test_silence_and_unknown_symbols_have_none():
    assert not phone_features(SILENCE) and not phone_features(UNKNOWN)


def test_only_values_that_occur_in_a_fixed_order():
    values = values_of(["ŋ", "a", "p", "i"])
    assert values["place"] == ("bilabial", "velar") and values["height"] == ("close", "open")
    assert values == values_of(["i", "a", "p", "ŋ"])
