"""Interventions: what changes is what should, where it should, and nothing else."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vocaltract import languages, speakers
from vocaltract.corpus import jobs
from vocaltract.interventions import changes, design, render, writing
from vocaltract.interventions.design import Change
from vocaltract.spoken import Phone, Spoken
from vocaltract.states import GLOTTIS, STATE_HZ, TRACT
from vocaltract.synthesis import CHANNELS

SAID = Spoken("asa", "it", tuple(Phone(p, 0.1 * k, 0.1 * k + 0.1, word=k) for k, p in enumerate(["a", "s", "a"])))
WINDOW = (60, 76, 5)


@pytest.fixture(scope="module")
def speaker() -> speakers.Speaker:
    return speakers.load("m1")


@pytest.fixture(scope="module")
def base(speaker: speakers.Speaker) -> render.Base:
    return render.base(speaker, SAID, 3)


def of(kind: str, moved: str, direction: str, amount: float | str, window: tuple[int, int, int] = WINDOW) -> Change:
    return Change(kind, moved, direction, amount, "", *window, "a", "vowel", 11)


def test_a_profile_has_smooth_edges_and_is_nothing_outside() -> None:
    weight = changes.profile(40, 10, 30, 5)
    assert (weight[:11] == 0).all() and (weight[30:] == 0).all() and (weight[15:26] == 1).all()
    assert weight[11] == pytest.approx(0.5 - 0.5 * np.cos(np.pi / 5))


@pytest.mark.parametrize(
    ("moved", "direction", "amount", "channel"),
    [("tongue_tip", "y", 0.3, "tt_y"), ("tongue_body", "y", -0.2, "td_y"), ("jaw", "y", -0.3, "li_y")],
)
def test_an_articulator_moves_as_far_as_asked_and_others_hardly(
    base: render.Base, moved: str, direction: str, amount: float, channel: str
) -> None:
    change = of("articulator", moved, direction, amount)
    start, ema = render._exact_change(base, render._moved(base, change), change)
    peak = ema[np.abs(ema[:, CHANNELS.index(channel)]).argmax()]
    assert peak[CHANNELS.index(channel)] == pytest.approx(10 * amount, abs=0.6)
    still = [k for k, name in enumerate(CHANNELS) if (name[0] == "t") != (moved[0] == "t")]
    assert np.abs(ema[:, still]).max() < 0.01
    assert start == int(WINDOW[0] / STATE_HZ * 100)
    assert np.abs(ema[[0, -1]]).max() < 1e-9


def test_lips_part_by_the_amount_of_their_aperture_both_together(base: render.Base) -> None:
    change = of("articulator", "lip_aperture", "y", 0.3)
    _, ema = render._exact_change(base, render._moved(base, change), change)
    upper, lower = (ema[:, CHANNELS.index(name)] for name in ("ul_y", "ll_y"))
    assert (upper - lower).max() == pytest.approx(3.0, abs=0.2)


def test_the_velum_opens_by_its_area_wherever_it_was_shut(base: render.Base) -> None:
    moved = render._moved(base, of("articulator", "velum", "", 0.4)).tract[:, TRACT.index("VO")]
    assert moved.max() == pytest.approx(0.4, abs=1e-6)
    assert (moved[: WINDOW[0] + 1] == base.movement.tract[: WINDOW[0] + 1, TRACT.index("VO")]).all()


def test_sound_is_the_bases_before_the_window_and_from_60_ms_after_it(base: render.Base) -> None:
    change = of("articulator", "tongue_tip", "y", 0.3)
    found = render.changed(base, change)
    assert found.audio_start >= int(WINDOW[0] / STATE_HZ * 16000)
    assert found.audio_start + len(found.pcm) <= (WINDOW[1] / STATE_HZ + render.AFTER_S) * 16000 + 1
    changed = base.pcm.copy()
    changed[found.audio_start : found.audio_start + len(found.pcm)] = found.pcm
    differs = np.abs(changed.astype(float) - base.pcm)
    inside = slice(int((WINDOW[0] + 5) / STATE_HZ * 16000), int(WINDOW[1] / STATE_HZ * 16000))
    assert differs[inside].max() > 300
    steps = [np.abs(np.diff(pcm.astype(float))).max() for pcm in (changed, base.pcm)]
    assert steps[0] < 1.5 * steps[1]  # no click


def test_a_change_that_shows_outside_its_window_is_refused(base: render.Base, monkeypatch: pytest.MonkeyPatch) -> None:
    change = of("articulator", "tongue_tip", "y", 0.3)
    moved = render._moved(base, change)
    tract = moved.tract.copy()
    tract[WINDOW[0] - 2, TRACT.index("LD")] += 0.1  # where there is sound already
    monkeypatch.setattr(render, "_moved", lambda *_: replace(moved, tract=tract))
    with pytest.raises(ValueError, match="before the window"):
        render.changed(base, change)


def test_pitch_changes_alone_and_noise_changes_neither(base: render.Base) -> None:
    raised = changes.pitch(base.movement, 3.0, changes.profile(len(base.movement.tract), *WINDOW))
    assert (raised.tract == base.movement.tract).all()
    ratio = raised.glottis[68, GLOTTIS.index("F0")] / base.movement.glottis[68, GLOTTIS.index("F0")]
    assert ratio == pytest.approx(2 ** (3 / 12))
    noise = render.changed(base, of("noise", "noise", "", 0.0, (0, len(base.movement.tract) - 1, 0)))
    assert not noise.repeat_noise
    assert len(noise.pcm) == len(base.pcm) and (noise.pcm != base.pcm).any() and not noise.ema.any()
    level = [np.sqrt(np.mean(pcm.astype(float) ** 2)) for pcm in (noise.pcm, base.pcm)]
    assert level[0] == pytest.approx(level[1], rel=0.1)


def test_one_articulator_comes_later_and_the_others_when_they_did(base: render.Base, speaker: speakers.Speaker) -> None:
    weight = changes.profile(len(base.movement.tract), 30, 102, 24)
    late = changes.earlier_or_later(base.movement, speaker, "tongue_tip", 0.04, weight)
    tip, body = TRACT.index("TTY"), TRACT.index("TCY")
    expected = np.interp(65 - 0.04 * STATE_HZ, np.arange(len(weight)), base.movement.tract[:, tip])
    assert late.tract[65, tip] == pytest.approx(expected)
    assert (late.tract[:, body] == base.movement.tract[:, body]).all()
    with pytest.raises(ValueError, match="turn time back"):
        changes.earlier_or_later(base.movement, speaker, "jaw", 0.04, changes.profile(len(weight), 30, 102, 4))


def test_every_articulator_is_moved_in_vowels_and_consonants(base: render.Base, speaker: speakers.Speaker) -> None:
    long = Spoken("", "it", tuple(Phone(p, 0.1 * k, 0.1 * k + 0.1, word=k) for k, p in enumerate("asapatinali")))
    movement = render.move(long, speaker, render.PLAIN, 0)
    drawn = design.drawn(movement, speaker, ("f1",), 5)
    assert drawn == design.drawn(movement, speaker, ("f1",), 5)
    moved = [(c.moved, c.direction, c.phone_kind) for c in drawn if c.kind == "articulator"]
    assert len(set(moved)) == len(moved) == 2 * len(changes.PARAMETERS)
    assert {c.kind for c in drawn} == {"articulator", "f0", "timing", "voice", "anatomy", "noise"}
    for change in drawn:
        if change.kind == "articulator":
            assert 0.06 - 0.005 <= (change.last - change.first) / STATE_HZ <= 0.12 + 0.005
            assert abs(float(change.amount)) in design.AMOUNTS_CM


@pytest.fixture
def few(base: render.Base, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two changes of a short utterance, made in this process."""
    some = (of("articulator", "tongue_tip", "y", 0.3), of("noise", "noise", "", 0.0, (0, 1, 0)))
    monkeypatch.setattr(writing.design, "drawn", lambda *_: some)
    monkeypatch.setattr(languages, "speak", lambda *_: SAID)
    monkeypatch.setattr(writing.render, "base", lambda *_: base)

    def here(root: Path, tasks: list, *, engine: object, **_: object) -> None:
        for task in tasks:
            jobs.folder.write(root, task, engine(task, jobs.ALL))  # type: ignore[operator]

    monkeypatch.setattr(writing.jobs, "make_corpus", here)
    yield


@pytest.mark.usefixtures("few")
def test_the_folder_holds_each_change_where_its_line_says(tmp_path: Path) -> None:
    writing.write(tmp_path, 0, 1, of_speakers=("m1",), of_languages=("it",))
    (pair,), (control,) = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("pairs.jsonl", "controls.jsonl")
    )
    sound, rate = soundfile.read(tmp_path / f"{pair['base']}.flac", dtype="int16")
    all_changes, _ = soundfile.read(tmp_path / "changes.flac", dtype="int16")
    ema = np.load(tmp_path / "changes.ema.npy", allow_pickle=False)
    assert rate == 16000 and len(all_changes) == pair["audio_samples"] + control["audio_samples"]
    assert control["audio_offset"] == pair["audio_samples"] and control["repeat_noise"] is False
    stretch = all_changes[: pair["audio_samples"]]
    assert (stretch != sound[pair["audio_start"] : pair["audio_start"] + len(stretch)]).mean() > 0.9
    rows = 0.001 * ema[pair["ema_offset"] : pair["ema_offset"] + pair["ema_rows"]]
    assert np.abs(rows[:, CHANNELS.index("tt_y")]).max() == pytest.approx(3.0, abs=0.6)
    stored = json.loads((tmp_path / f"{pair['base']}.json").read_text())
    assert stored["ema_resolution_mm"] == 0.01 and stored["labels"]["noise"] == "none"
