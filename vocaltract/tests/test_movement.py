"""Movement: phones that do what their labels say, checked against the tract's areas and the planted scores."""

from dataclasses import replace

import numpy as np
import pytest

from vocaltract import speakers
from vocaltract.errors import VocalTractError
from vocaltract.manner import Manner
from vocaltract.movement import PHONES, check, closures, move
from vocaltract.movement.glottis import LIMITS
from vocaltract.movement.phones import CONSONANTS, VOWELS, gestures, parse
from vocaltract.movement.planes import CLOSED_CM2, smallest_area_cm2
from vocaltract.spoken import Phone, Spoken
from vocaltract.states import GLOTTIS, STATE_HZ, TRACT, Movement

BRIEF = (
    "i ɪ e e̞ ɛ æ a ɑ ʌ ɔ o o̞ ʊ u y ʏ ø œ ə ɐ ɨ ɤ ɚ ɜ ɿ ʅ iː ɑː ã ẽ ĩ õ ũ ɔ̃ ɛ̃ ə̃ ʊ̃ aɪ aʊ eɪ oʊ ɔɪ ai ei ao ou ia ie "
    "p b t d k ɡ c ɟ q ʔ t̪ d̪ n̪ l̪ ʈ ɖ ɳ ɽ pʰ tʰ t̪ʰ ʈʰ kʰ bʱ dʱ d̪ʱ ɖʱ ɡʱ tʃ dʒ tʃʰ dʒʱ ts dz tsʰ tɕ tɕʰ tʂ tʂʰ pf "
    "m n ɲ ŋ f v θ ð s z ʃ ʒ ɕ ʑ ʂ ʐ ç ʝ x ɣ χ ʁ h ɦ β̞ ð̞ ɣ̞ ʋ l ɫ ʎ r ɾ ɹ ʀ j w ɥ tː nː ʃː"
).split()
MODAL = Manner()


def sentence(*phones: tuple, language: str = "en", question: bool = False) -> Spoken:
    """Phones as (ipa, seconds, further fields of Phone), one after another; ``(None, seconds)`` is a pause."""
    found, now = [], 0.0
    for number, (ipa, duration, *fields) in enumerate(phones):
        if ipa is not None:
            found.append(Phone(ipa, now, now + duration, **{"syllable": number} | (fields[0] if fields else {})))
        now += duration
    return Spoken("", language, tuple(found), question)


def vcv(consonant: str, before: str = "a", after: str = "a", duration: float = 0.09) -> Spoken:
    return sentence((before, 0.15), (consonant, duration), (after, 0.17))


def column(movement: Movement, name: str, start_s: float, end_s: float) -> np.ndarray:
    states = movement.tract if name in TRACT else movement.glottis
    names = TRACT if name in TRACT else GLOTTIS
    return states[int(start_s * STATE_HZ) : int(end_s * STATE_HZ) + 1, names.index(name)]


def shut_s(movement: Movement, start_s: float, end_s: float) -> tuple[float, float]:
    """First and last time within 27 ms of a label at which the area function is shut, in steps of 3 ms."""
    times = np.arange(start_s - 0.027, end_s + 0.027, 0.003)
    frames = np.arange(len(movement.tract)) / STATE_HZ
    states = np.stack([np.interp(times, frames, track) for track in movement.tract.T], axis=1)
    shut = times[[smallest_area_cm2(state) < CLOSED_CM2 for state in states]]
    return (shut[0], shut[-1]) if len(shut) else (np.nan, np.nan)


@pytest.fixture(scope="module")
def m1():
    return speakers.load("m1")


def test_every_symbol_of_the_inventories_is_there():
    assert [symbol for symbol in BRIEF if symbol not in PHONES] == []


@pytest.mark.parametrize("symbol", ["", "ǃ", "ab", "tt", "mʰ", "ʰ", "aɪu", "t "])
def test_an_unknown_symbol_is_named(symbol):
    with pytest.raises(VocalTractError, match="is none of"):
        parse(symbol)


def test_diacritics_are_read_by_rule():
    long, aspirated, nasal, diphthong = (gestures(symbol) for symbol in ("tː", "tʃʰ", "õː", "aʊ"))
    assert long.long and long.places == ("alveolar-closure",)
    assert aspirated.aspiration == "aspirated" and aspirated.places[1] == "postalveolar-fricative"
    assert nasal.nasal and nasal.long and nasal.rounded and nasal.vowel
    assert diphthong.places == ("a", "ʊ")


@pytest.mark.parametrize("name", speakers.SPEAKERS)
def test_every_phone_moves_every_speaker_within_the_limits(name):
    speaker = speakers.load(name)
    symbols = [*(symbol for symbol in BRIEF if gestures(symbol).manner != "vowel"), *VOWELS, "ã", "aɪ", "iː"]
    phones = [phone for k, symbol in enumerate(symbols) for phone in ((symbol, 0.08), (VOWELS[k % len(VOWELS)], 0.07))]
    movement = move(sentence(*phones), speaker, replace(MODAL, coarticulation=1.3), 1)
    low, high = speaker.limits.T
    assert np.isfinite(movement.tract).all() and (movement.tract >= low).all() and (movement.tract <= high).all()
    assert (movement.glottis >= LIMITS[:, 0]).all() and (movement.glottis <= LIMITS[:, 1]).all()
    assert np.abs(np.diff(movement.tract[:, TRACT.index("TTY")])).max() < 0.4


@pytest.mark.parametrize("consonant", ["p", "t", "n", "k", "t̪", "ts", "ɾ"])
def test_closures_begin_and_end_at_their_labels(m1, consonant):
    m1.activate()
    spoken = sentence(("a", 0.14), (consonant, 0.09), ("i", 0.13), (consonant, 0.07), ("u", 0.15))
    movement = move(spoken, m1, MODAL, 3)
    for _, start_s, end_s in closures(movement.spoken.phones):
        assert shut_s(movement, start_s, end_s) == pytest.approx((start_s, end_s), abs=0.012)


def test_clusters_of_different_articulators_overlap(m1):
    m1.activate()
    movement = move(sentence(("a", 0.14), ("k", 0.07), ("t", 0.07), ("a", 0.15)), m1, MODAL, 3)
    (_, start_s, _), (_, _, end_s) = closures(movement.spoken.phones)
    times = np.arange(int(start_s * STATE_HZ) + 3, int(end_s * STATE_HZ) - 2)
    assert all(smallest_area_cm2(movement.tract[k]) < CLOSED_CM2 for k in times)


def test_sibilants_and_vowels_leave_the_tract_open(m1):
    m1.activate()
    movement = move(sentence(("a", 0.14), ("s", 0.1), ("i", 0.1), ("ʃ", 0.1), ("u", 0.15)), m1, MODAL, 3)
    first, last = movement.spoken.phones[0].start_s, movement.spoken.phones[-1].end_s
    areas = [smallest_area_cm2(movement.tract[k]) for k in range(int(first * STATE_HZ), int(last * STATE_HZ))]
    assert min(areas) > 0.02


def test_nasals_open_the_velum_and_stops_do_not(m1):
    nasal, oral = (move(vcv(consonant), m1, MODAL, 0) for consonant in "mt")
    phone = nasal.spoken.phones[1]
    assert column(nasal, "VO", phone.start_s, phone.end_s).min() > 0.0
    assert column(nasal, "VO", phone.start_s - 0.02, phone.start_s - 0.015).min() > 0.0
    assert column(nasal, "VO", phone.end_s + 0.08, phone.end_s + 0.1).max() < 0.0
    assert oral.tract[:, TRACT.index("VO")].max() < 0.0


def test_voiced_closures_leak_within_their_labels(m1):
    movement = move(vcv("d"), m1, MODAL, 0)
    stop = movement.spoken.phones[1]
    opened = np.flatnonzero(movement.tract[:, TRACT.index("VO")] > 0.0) / STATE_HZ
    assert stop.start_s < opened[0] < stop.start_s + 0.03 and stop.end_s - 0.03 < opened[-1] < stop.end_s
    assert 0.01 < movement.tract[:, TRACT.index("VO")].max() <= 0.03


def test_an_obstruent_after_a_nasal_has_its_velum_shut(m1):
    movement = move(sentence(("a", 0.15), ("n", 0.07), ("t", 0.08), ("a", 0.15)), m1, MODAL, 0)
    stop = movement.spoken.phones[2]
    assert column(movement, "VO", stop.start_s + 0.02, stop.end_s).max() <= 0.0


def test_voiceless_consonants_open_the_glottis_and_glottal_stops_press_it(m1):
    state = {c: move(vcv(c), m1, MODAL, 0) for c in ("p", "b", "s", "h", "ʔ")}
    opening = {
        c: column(m, "XB", m.spoken.phones[1].start_s + 0.04, m.spoken.phones[1].end_s - 0.02) for c, m in state.items()
    }
    modal = m1.shapes.glottis("modal")[GLOTTIS.index("XB")]
    assert min(opening["p"].min(), opening["s"].min()) > 0.05
    assert opening["b"].max() < 0.03 < opening["h"].max()
    assert opening["ʔ"].min() < modal


def test_glottal_consonants_leave_the_tract_to_the_vowels(m1):
    assert np.array_equal(move(vcv("h"), m1, MODAL, 0).tract, move(vcv("ʔ"), m1, MODAL, 0).tract)


def test_aspiration_delays_the_voice(m1):
    def opened(consonant: str) -> float:
        movement = move(vcv(consonant, duration=0.12), m1, MODAL, 0)
        _, _, release = closures(movement.spoken.phones)[0]
        return float(np.sum(column(movement, "XB", release, release + 0.12) > 0.03) / STATE_HZ)

    assert 0.0 <= opened("t") < 0.025 and 0.04 < opened("tʰ") < 0.08


def test_trills_open_at_their_rate(m1):
    movement = move(vcv("r", duration=0.16), m1, MODAL, 0)
    phone = movement.spoken.phones[1]
    height = column(movement, "TTY", phone.start_s, phone.end_s)
    dips = np.sum((height[1:-1] < height[:-2]) & (height[1:-1] <= height[2:]))
    assert dips == round(0.16 * 26.0 - 0.5)


def test_geminates_hold_and_taps_touch(m1):
    single, geminate, tap = (
        closures(move(vcv(c, duration=d), m1, MODAL, 0).spoken.phones)[0]
        for c, d in (("t", 0.08), ("tː", 0.15), ("ɾ", 0.04))
    )
    lengths = [end - start for _, start, end in (single, geminate, tap)]
    assert lengths == pytest.approx([0.08, 0.15, 0.024])


def test_diphthongs_have_two_targets(m1):
    movement = move(sentence(("t", 0.08), ("aɪ", 0.25), ("t", 0.08)), m1, MODAL, 0)
    phone = movement.spoken.phones[1]
    front = column(movement, "TCX", phone.start_s, phone.end_s)
    ends = [m1.shapes.vowel(name)[TRACT.index("TCX")] for name in "aɪ"]
    assert abs(front.min() - ends[0]) < 0.25 * abs(ends[1] - ends[0])
    assert abs(front[-1] - ends[1]) < 0.25 * abs(ends[1] - ends[0])


def test_rate_halves_durations_and_vowels_give_way_most(m1):
    spoken = sentence(("a", 0.2), ("t", 0.12), ("i", 0.2), ("k", 0.12), ("u", 0.2))
    slow, quick = (move(spoken, m1, replace(MODAL, rate=rate), 0).spoken.phones for rate in (1.0, 2.0))
    spans = [phones[-1].end_s - phones[0].start_s for phones in (slow, quick)]
    assert spans[1] == pytest.approx(spans[0] / 2.0, rel=1e-6)
    shares = [(q.end_s - q.start_s) / (s.end_s - s.start_s) for s, q in zip(slow, quick, strict=True)]
    assert max(shares[::2]) < 0.5 < min(shares[1::2])


def test_pauses_are_scaled_and_quiet(m1):
    spoken = sentence(("a", 0.2), (None, 0.3), ("a", 0.2))
    movement = move(spoken, m1, replace(MODAL, pauses=1.5), 0)
    first, second = movement.spoken.phones
    assert second.start_s - first.end_s == pytest.approx(0.45)
    assert column(movement, "PR", first.end_s + 0.15, second.start_s - 0.15).max() < 100.0


@pytest.mark.parametrize("first", ["p", "t", "k", "s", "h", "a", "i", "b", "d"])
def test_no_voice_and_no_pressure_before_a_phrase(m1, first):
    """200 dPa is far below what makes folds vibrate; the second phrase follows a pause."""
    once = [(first, 0.1), ("a", 0.12)]
    movement = move(sentence(*once, (None, 0.3), *once), m1, MODAL, 0)
    for phone in movement.spoken.phones[::2]:
        assert column(movement, "PR", phone.start_s - 0.08, phone.start_s - 0.02).max() < 200.0
        assert column(movement, "PR", phone.start_s + 0.06, phone.start_s + 0.08).min() > 6000.0


def test_coarticulation_draws_consonants_to_their_vowels(m1):
    def body(amount: float, vowel: str) -> float:
        movement = move(vcv("t", vowel, vowel, 0.12), m1, replace(MODAL, coarticulation=amount), 0)
        phone = movement.spoken.phones[1]
        middle = int((phone.start_s + phone.end_s) / 2.0 * STATE_HZ)
        return float(movement.tract[middle, TRACT.index("TCX")])

    differences = [body(amount, "i") - body(amount, "u") for amount in (0.0, 0.5, 1.0)]
    assert 0.0 <= differences[0] < 0.5 * differences[1] < 0.5 * differences[2]


def test_f0_follows_mandarin_tones(m1):
    phones = [("a", 0.3, {"tone": tone, "word": k}) for k, tone in enumerate((1, 2, 3, 4))]
    movement = move(sentence(*phones, language="zh"), m1, MODAL, 0)
    tracks = [
        12.0 * np.log2(column(movement, "F0", p.start_s + 0.15, p.end_s) / m1.f0_hz) for p in movement.spoken.phones
    ]
    high, rising, low, falling = tracks
    assert np.ptp(high) < 1.5 and rising[-1] - rising[0] > 2.0 and falling[0] - falling[-1] > 3.0
    assert low.mean() < -4.0 < high.mean()


def test_f0_ends_low_in_statements_and_high_in_questions(m1):
    phones = (("a", 0.2, {"stress": 2}), ("m", 0.08), ("a", 0.25))
    ends = []
    for question in (False, True):
        movement = move(sentence(*phones, question=question), m1, MODAL, 0)
        last = movement.spoken.phones[-1].end_s
        ends.append(12.0 * np.log2(column(movement, "F0", last - 0.02, last).mean() / m1.f0_hz))
    assert ends[0] < -2.0 and ends[1] > 2.0


def test_f0_movement_scales_semitones(m1):
    phones = (("a", 0.2, {"stress": 2}), ("m", 0.08), ("a", 0.25))
    flat, plain, lively = (
        move(sentence(*phones), m1, replace(MODAL, f0_movement=scale), 0).glottis[:, 0] for scale in (0.0, 1.0, 1.5)
    )
    assert np.allclose(flat, m1.f0_hz)
    assert np.allclose(np.log2(lively / m1.f0_hz), 1.5 * np.log2(plain / m1.f0_hz))


def test_voice_quality_reaches_the_glottis(m1):
    movement = move(vcv("m"), m1, replace(MODAL, voice="breathy"), 0)
    phone = movement.spoken.phones[2]
    middle = column(movement, "CA", phone.start_s + 0.05, phone.end_s - 0.05)
    assert np.allclose(middle, m1.shapes.glottis("breathy")[GLOTTIS.index("CA")], atol=2e-3)


def test_a_seed_varies_the_silences_only(m1):
    once, again, other = (move(vcv("s"), m1, MODAL, seed) for seed in (1, 1, 2))
    assert np.array_equal(once.tract, again.tract) and np.array_equal(once.glottis, again.glottis)
    leads = [movement.spoken.phones[0].start_s for movement in (once, other)]
    assert leads[0] != leads[1] and min(leads) > 0.1
    lengths = [movement.spoken.phones[-1].end_s - lead for movement, lead in zip((once, other), leads, strict=True)]
    assert lengths[0] == pytest.approx(lengths[1])


def test_values_beyond_the_limits_are_named(m1):
    movement = move(vcv("s"), m1, MODAL, 1)
    for name, value in (("LD", 9.0), ("TTY", np.nan)):
        tract = movement.tract.copy()
        tract[5, TRACT.index(name)] = value
        with pytest.raises(VocalTractError, match=name):
            check(replace(movement, tract=tract), m1)


def test_nothing_to_say_is_an_error(m1):
    with pytest.raises(VocalTractError, match="no phones"):
        move(Spoken("...", "en", ()), m1, MODAL, 1)


def test_the_consonants_have_manners():
    assert {gestures(symbol).manner for symbol in CONSONANTS} == {
        *("plosive", "affricate", "nasal", "fricative", "approximant", "lateral", "tap", "trill", "glottal")
    }
