"""The eight speakers: their files, formants, contacts, frames."""

import json
import multiprocessing
from functools import cache

import numpy as np
import pytest

from vocaltract import speakers
from vocaltract.errors import VocalTractError
from vocaltract.speakers import anatomy, calibrated, contact, context, jd3, scaling
from vocaltract.speakers.acoustics import constriction, formants_hz
from vocaltract.speakers.shapes import definitions
from vocaltract.states import GLOTTIS, TRACT

CHECKED_VOWELS = ("a", "i", "u", "æ", "ɚ")
CONTEXTS = ("a", "i", "ə")
CHECKED_CONSONANTS = (
    *("labial-closure", "dental-closure", "alveolar-closure", "retroflex-closure", "palatal-closure", "velar-closure"),
    *("uvular-closure", "labiodental-fricative", "alveolar-fricative", "postalveolar-fricative", "alveolar-lateral"),
)


def measured(name: str) -> dict:
    """Measure what a speaker's tract does, in a process of its own, since the synthesiser holds one speaker."""
    speaker = speakers.load(name)
    speaker.activate()
    shapes = speaker.shapes
    vowels = {key: formants_hz(shapes.vowel(key), 3) for key in CHECKED_VOWELS}
    contacts = {}
    for key in CHECKED_CONSONANTS:
        goal = contact.goal(key, speaker.anatomy.oral, speaker.anatomy.oral * speaker.anatomy.depth)
        for vowel in CONTEXTS:
            around = shapes.vowel(vowel)
            state = contact.above(around, shapes.consonant(key, around), goal.active)
            found = constriction(state, goal.region, goal.floor_cm2)
            contacts[key, vowel] = (found.area_cm2, found.from_lips_cm / speaker.anatomy.oral)
    from vocaltractlab_cython import get_shape, tract_state_to_limited_tract_state

    kept = tract_state_to_limited_tract_state(shapes.vowel("u"))
    return {"formants": vowels, "contacts": contacts, "kept": kept, "i": get_shape("i", "tract")}


@cache
def measurements() -> dict:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return dict(zip(speakers.SPEAKERS, pool.imap(measured, speakers.SPEAKERS), strict=True))


def test_jd3_is_read_as_the_synthesiser_reads_it():
    found = measurements()["m1"]
    np.testing.assert_allclose(found["i"], jd3.original_shapes()["i"], atol=1e-12)
    np.testing.assert_allclose(speakers.load("m1").shapes.vowel("i"), jd3.original_shapes()["i"])


@pytest.mark.parametrize("name", speakers.SPEAKERS)
def test_shapes_lie_within_the_limits(name):
    speaker = speakers.load(name)
    low, high = speaker.limits.T
    for vowel in (*CHECKED_VOWELS, "o", "ʏ", "ʅ"):
        around = speaker.shapes.vowel(vowel)
        assert (around >= low - 1e-9).all() and (around <= high + 1e-9).all(), vowel
        for key in speaker.shapes.consonants:
            target = speaker.shapes.consonant(key, around)
            assert (target >= low).all() and (target <= high).all(), (key, vowel)


@pytest.mark.parametrize("name", speakers.SPEAKERS)
def test_the_synthesiser_takes_the_shapes_unclipped(name):
    # The tongue's root is computed from the rest, so it need not come back as it was.
    kept = measurements()[name]["kept"]
    root = [TRACT.index("TRX"), TRACT.index("TRY")]
    wanted = speakers.load(name).shapes.vowel("u")
    np.testing.assert_allclose(np.delete(kept, root), np.delete(wanted, root), atol=1e-3)


def test_formants_of_the_model_are_those_of_men():
    found = measurements()["m1"]["formants"]
    peterson_barney_hz = {"i": (270, 2290), "a": (730, 1090), "u": (300, 870), "æ": (660, 1720), "ɚ": (490, 1350)}
    for vowel, wanted in peterson_barney_hz.items():
        np.testing.assert_allclose(found[vowel][:2], wanted, rtol=0.25, err_msg=vowel)
    assert found["ɚ"][2] < 1800 < found["u"][2]


@pytest.mark.parametrize("name", speakers.SPEAKERS)
def test_formants_are_inverse_to_the_length_of_the_tract(name):
    found, model = measurements()[name]["formants"], measurements()["m1"]["formants"]
    scale = calibrated.found()["m1"]["length_cm"] / calibrated.found()[name]["length_cm"]
    for vowel in CHECKED_VOWELS:
        np.testing.assert_allclose(found[vowel], scale * model[vowel], rtol=0.12, err_msg=vowel)


def test_no_two_vowels_coincide():
    for name in speakers.SPEAKERS:
        table = {key: row for key, row in calibrated.found()[name]["formants_hz"].items() if key != "neutral"}
        logs = np.log(np.array(list(table.values())))
        distance = np.abs(logs[:, None] - logs[None]).max(axis=2) + np.eye(len(table))
        first, second = np.unravel_index(distance.argmin(), distance.shape)
        assert distance.min() > 0.03, (name, list(table)[first], list(table)[second])


@pytest.mark.parametrize("name", speakers.SPEAKERS)
def test_constrictions_are_made_above_every_vowel(name):
    for (key, vowel), (area_cm2, _) in measurements()[name]["contacts"].items():
        if key == "labiodental-fricative":  # has an area for its goal, since lips do not end in a channel
            assert 0.05 < area_cm2 < 0.2, vowel
        else:
            floor = contact.FLOOR_CM2[key.rsplit("-", 1)[1]]
            assert abs(area_cm2 - floor) <= 2 * contact.SEALED_CM2, (key, vowel)


@pytest.mark.parametrize("name", speakers.SPEAKERS)
def test_places_lie_one_behind_the_other(name):
    found = measurements()[name]["contacts"]
    places = ("labial", "dental", "alveolar", "retroflex", "velar", "uvular")
    for vowel in ("a", "ə"):
        from_lips = [found[f"{place}-closure", vowel][1] for place in places]
        assert from_lips == sorted(from_lips), (vowel, from_lips)


def test_context_weights_have_the_corners_and_stay_in_the_triangle():
    corners = speakers.load("m1").shapes.corners()
    np.testing.assert_allclose([context.weights(corner, corners) for corner in corners], np.eye(3), atol=1e-9)
    mixture = np.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(context.weights(mixture @ corners, corners), mixture, atol=1e-9)
    outside = context.weights(corners[1] + 5.0 * (corners[1] - corners[0]), corners)
    assert outside.min() >= 0 and outside.sum() == pytest.approx(1.0)


def test_consonants_follow_their_vowels():
    shapes = speakers.load("f1").shapes
    front, back = (shapes.consonant("velar-closure", shapes.vowel(vowel)) for vowel in "iu")
    assert front[TRACT.index("TCX")] > back[TRACT.index("TCX")] + 0.5
    between = shapes.consonant("velar-closure", 0.5 * (shapes.vowel("i") + shapes.vowel("u")))
    assert back[TRACT.index("TCX")] < between[TRACT.index("TCX")] < front[TRACT.index("TCX")]


def test_active_parameters_exist_and_close():
    shapes = speakers.load("m1").shapes
    for key, entry in definitions()["consonants"].items():
        active = shapes.active(key)
        assert set(active) <= set(TRACT) - {"VO"}
        assert set(definitions()["closing"][entry["active"]]) <= set(active), key


def test_names_that_do_not_exist_are_errors():
    shapes = speakers.load("m1").shapes
    with pytest.raises(VocalTractError, match="no speaker 'x9'"):
        speakers.load("x9")
    with pytest.raises(VocalTractError, match="no vowel 'q'"):
        shapes.vowel("q")
    with pytest.raises(VocalTractError, match="no consonant 'q'"):
        shapes.consonant("q", shapes.vowel("a"))


def test_speaker_files_are_the_same_every_time(tmp_path, monkeypatch):
    first = speakers.load("c1").file
    monkeypatch.setenv("VOCALTRACT_CACHE", str(tmp_path))
    speaker = speakers.load("c1")
    again = anatomy.written("c1", speaker.anatomy, speaker.f0_hz)
    assert again.parent == tmp_path and again.name == first.name and again.read_bytes() == first.read_bytes()
    again.write_bytes(b"<speaker>")
    assert anatomy.written("c1", speaker.anatomy, speaker.f0_hz).read_bytes() == first.read_bytes()


def test_changed_speaker_files_never_reach_the_synthesiser(tmp_path, monkeypatch):
    monkeypatch.setenv("VOCALTRACT_CACHE", str(tmp_path))
    speaker = speakers.load("c1")
    file = anatomy.written("c1", speaker.anatomy, speaker.f0_hz)
    anatomy.validate(file)
    file.write_bytes(file.read_bytes().replace(b'name="TCX"', b'name="XXX"', 1))
    with pytest.raises(VocalTractError, match="has been changed"):
        anatomy.validate(file)
    with pytest.raises(VocalTractError, match="Cannot read"):
        anatomy.validate(tmp_path / "none.speaker")


def test_scaling_by_one_changes_nothing():
    one = speakers.load("m1").anatomy
    before, after = jd3.document(), scaling.build_document(one, 120.0)
    for path in ("./vocal_tract_model//*", "./glottis_models//*"):
        for a, b in zip(before.iterfind(path), after.iterfind(path), strict=True):
            for key, value in a.attrib.items():
                try:
                    assert float(b.attrib[key]) == pytest.approx(float(value), abs=1e-3), (a.tag, key)
                except ValueError:
                    assert b.attrib[key].split()[:1] == value.split()[:1] or key == "points"


@pytest.mark.parametrize("name", speakers.SPEAKERS)
def test_palate_is_an_arch_from_front_to_back(name):
    speaker = speakers.load(name)
    palate = speaker.palate_mm()
    angle = np.deg2rad(-speaker.rotation_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tract = (palate - speaker.origin_mm) @ turn.T
    assert (np.diff(tract[:, 0]) <= 1e-9).all()
    assert tract[0, 0] == pytest.approx(47.0 * speaker.anatomy.oral, abs=0.1)
    assert tract[:, 1].max() == pytest.approx(16.0 * speaker.anatomy.oral * speaker.anatomy.palate, abs=0.1)


@pytest.mark.parametrize("name", speakers.SPEAKERS)
def test_every_state_of_the_glottis_is_there(name):
    speaker = speakers.load(name)
    for state in ("modal", "breathy", "pressed", "hoarse", "whisper", "stop", "h", "open", "voiced-plosive"):
        values = dict(zip(GLOTTIS, speaker.shapes.glottis(state), strict=True))
        assert values["F0"] == speaker.f0_hz and values["PR"] >= 8000.0
    assert speaker.voice in speaker.shapes.glottis_shapes


def test_calibration_is_up_to_date():
    found = calibrated.found()
    assert found["made_from"] == calibrated.sources_hash(), "run python -m vocaltract.speakers.calibration"
    assert set(speakers.SPEAKERS) <= set(found)
    json.dumps(found, allow_nan=False)


def test_speakers_differ_as_men_women_and_children_do():
    found = {name: (speakers.load(name), calibrated.found()[name]["length_cm"]) for name in speakers.SPEAKERS}
    assert 11.0 < min(length for _, length in found.values()) and max(length for _, length in found.values()) < 19.0
    lengths, pitches = zip(*((length, speaker.f0_hz) for speaker, length in found.values()), strict=True)
    assert np.corrcoef(lengths, pitches)[0, 1] < -0.9
    assert len({(s.rotation_deg, s.origin_mm) for s, _ in found.values()}) == len(found)
