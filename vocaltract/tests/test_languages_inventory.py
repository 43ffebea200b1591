"""Inventories, rhythm and phones in orders of no language."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from vocaltract import languages
from vocaltract.errors import VocalTractError
from vocaltract.languages import inventory, reordering, rhythm, tables
from vocaltract.languages.sounds import is_vowel
from vocaltract.movement.phones import PHONES
from vocaltract.spoken import Phone, Spoken


@pytest.mark.parametrize("language", languages.LANGUAGES)
def test_texts_keep_to_the_inventory_and_cover_it(language: str) -> None:
    known, found = inventory.inventory(language), inventory.counts(language)
    assert set(found) <= known.phones | set(known.marginal)
    assert not known.phones & set(known.marginal)
    assert all(found[phone] >= 2 for phone in known.phones)
    assert all(map(is_vowel, known.vowels)) and not any(map(is_vowel, known.consonants))


def test_jaccard_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = {"a": frozenset("ptk"), "b": frozenset("tkbd")}
    monkeypatch.setattr(inventory, "inventory", lambda language: SimpleNamespace(phones=sets[language]))
    assert inventory.jaccard("a", "b") == pytest.approx(2 / 5)
    assert inventory.jaccard("a", "a") == 1.0


def test_rhythm_by_hand() -> None:
    # intervals in ms: C 100, V 100, C 60, V 300 | pause | V 200, C 40; two vowels in a row are one interval
    times = [
        ("t", 0, 0.1),
        ("a", 0.1, 0.2),
        ("s", 0.2, 0.23),
        ("t", 0.23, 0.26),
        ("i", 0.26, 0.4),
        ("a", 0.4, 0.56),
        ("o", 1.0, 1.2),
        ("n", 1.2, 1.24),
    ]
    syllable = [0, 0, 1, 1, 1, 2, 3, 3]
    phones = tuple(
        Phone(ipa, start, end, syllable=number) for (ipa, start, end), number in zip(times, syllable, strict=True)
    )
    figures = rhythm.rhythm((Spoken("", "it", phones),))
    assert figures.percent_v == pytest.approx(100 * 600 / 800)
    assert figures.delta_c_ms == pytest.approx(np.std([100, 60, 40]))
    assert figures.npvi_v == pytest.approx(100 * 200 / 200)
    assert figures.rpvi_c_ms == pytest.approx(40)
    assert figures.syllables_per_s == pytest.approx(4 / 0.8)
    assert figures.phones_per_s == pytest.approx(8 / 0.8)


def test_mandarin_and_spanish_are_more_even_than_english_and_german() -> None:
    npvi = {row["language"]: row["nPVI-V"] for row in rhythm.rows()}
    assert max(npvi["zh"], npvi["es"]) < min(npvi["en"], npvi["de"])


def test_reordered_has_no_pair_of_any_language() -> None:
    spoken = languages.reordered(np.random.default_rng(3), 60.0)
    pairs = {(a.ipa, b.ipa) for phrase in rhythm.phrases(spoken) for a, b in pairwise(phrase)}
    assert len(pairs) > 300
    for language in languages.LANGUAGES:
        for sentence in inventory.spoken_texts(language):
            for before, after in zip(sentence.phones, sentence.phones[1:], strict=False):
                assert after.start_s > before.end_s or (before.ipa, after.ipa) not in pairs


def test_reordered_is_known_phones_of_all_inventories_and_fills_its_time() -> None:
    spoken = languages.reordered(np.random.default_rng(4), 60.0)
    assert spoken.language == "zxx"
    assert {phone.ipa for phone in spoken.phones} <= set(PHONES)
    assert 58.5 < spoken.phones[-1].end_s <= 60.0
    drawn = {phone.ipa for phone in spoken.phones}
    everything = frozenset().union(*(inventory.inventory(language).phones for language in languages.LANGUAGES))
    assert drawn <= everything and len(drawn) > 0.8 * len(everything)
    kinds = "".join("v" if is_vowel(phone.ipa) else "c" for phone in spoken.phones)
    assert kinds.count("vv") > 0.1 * len(kinds) and kinds.count("cc") > 0.1 * len(kinds)
    assert len(spoken.phones) / sum(phone.end_s - phone.start_s for phone in spoken.phones) > 7.0


def test_reordered_follows_its_seed() -> None:
    first = languages.reordered(np.random.default_rng(5), 5.0)
    assert languages.reordered(np.random.default_rng(5), 5.0) == first
    assert languages.reordered(np.random.default_rng(6), 5.0) != first


def test_reordered_without_room() -> None:
    with pytest.raises(VocalTractError, match="no room"):
        reordering.reordered(np.random.default_rng(0), 0.01)


def test_tables_show_every_language() -> None:
    text = tables.overview()
    assert all(f"| {language} |" in text for language in languages.LANGUAGES)
    assert f"β̞ {inventory.counts('es')['β̞']}" in tables.overview(["es"])
    with pytest.raises(VocalTractError, match="'xx'"):
        tables.overview(["xx"])
