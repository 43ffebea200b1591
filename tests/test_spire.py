from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from damage import Breakages, assert_refused, refusals_in_corpus
from drawn import (
    FEW,
    LATIN,
    Courses,
    Sound,
    Span,
    assert_phones,
    assert_sound,
    assert_track,
    movements,
    sentences,
    sounds,
    words,
    write_sound,
)
from hypothesis import given
from hypothesis import strategies as st

from tractprobe.corpora.readers.spire import COLUMNS, Spire
from tractprobe.corpora.utterance import Phone
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError, CorpusError

PLACES = {"ul": (72, -3), "ll": (70, -24), "li": (58, -22), "tt": (50, -14), "tb": (31, -5), "td": (12, -2)}
BEGIN, PHONES, DURATIONS = 15, ["sil", "dh", "ih1", "s"], [4, 6, 11, 9]
SENTENCES = {1: "This was easy for us.", 7: "Where were you while we were away?", 460: "Don't ask me."}
FRAMES = sum(DURATIONS)


def truth(seed: int, sign: int = 1) -> np.ndarray:
    """18 columns that all differ; those of no articulator lie where none could be."""
    random = np.random.default_rng(seed)
    places = np.full(18, 300.0)
    for articulator, column in COLUMNS.items():
        places[column : column + 2] = PLACES[articulator]
    values = places + random.normal(size=(FRAMES, 18))
    values[:, ::2] *= sign
    return values


def contents(seed: int = 0, sign: int = 1, **changes: Any) -> dict[str, Any]:
    rows = truth(seed, sign)
    raw = np.pad(rows, ((BEGIN, 12), (0, 0)), constant_values=5.0)
    normalised = (rows[:, :12] - rows[:, :12].mean(axis=0)) / rows[:, :12].std(axis=0)
    made = {
        "ema_raw": raw, "ema_trimmed": rows, "ema_trimmed_and_normalised_with_6_articulators": normalised,
        "mfcc": np.zeros((FRAMES, 13), np.float32), "phonemes": PHONES, "durations": DURATIONS,
        "begin_end": [BEGIN, BEGIN + FRAMES],
    }  # fmt: skip
    return {key: value for key, value in (made | changes).items() if value is not ...}


def write_utterance(root: Path, speaker: int, stem: str, seed: int = 0, sign: int = 1, **changes: Any) -> Path:
    path = root / f"processed/spk{speaker}/{stem}.pt"
    audio = root / f"audios/spk{speaker}/{stem}.wav"
    for folder in (path.parent, audio.parent):
        folder.mkdir(parents=True, exist_ok=True)
    torch.save(contents(seed, sign, **changes), path)
    soundfile.write(audio, np.random.default_rng(seed).normal(size=9200) * 0.1, 16000)
    (root / "mocha-timit.txt").write_text("\n".join(f"{key:03d}. {text}" for key, text in SENTENCES.items()))
    return path


def write(root: Path) -> Spire:
    write_utterance(root, 2, "m_0001", seed=1)
    write_utterance(root, 10, "xf0460", seed=2, sign=-1)
    write_utterance(root, 10, "xf0007", seed=3)
    return Spire(root)


def read_one(root: Path, **settings: Any) -> Any:
    reader = Spire(root, **settings)
    (source,) = reader.sources()
    (utterance,) = reader.read(source)
    return utterance


def check_positions(values: np.ndarray, wanted: np.ndarray) -> None:
    for name, column in zip(CHANNELS, values.T, strict=True):
        articulator, axis = name.split("_")
        np.testing.assert_array_equal(column, wanted[:, COLUMNS[articulator] + (axis == "y")], err_msg=name)


def test_every_utterance_comes_back(tmp_path: Path):
    reader = write(tmp_path)
    assert reader.sources() == ["processed/spk2/m_0001.pt", "processed/spk10/xf0007.pt", "processed/spk10/xf0460.pt"]
    utterances = [utterance for source in reader.sources() for utterance in reader.read(source)]
    assert [(one.id, one.speaker, one.text) for one in utterances] == [
        ("spk2_m_0001", "spk2", SENTENCES[1]), ("spk10_xf0007", "spk10", SENTENCES[7]),
        ("spk10_xf0460", "spk10", SENTENCES[460]),
    ]  # fmt: skip
    for utterance, seed in zip(utterances, (1, 3, 2), strict=True):
        assert (utterance.language, utterance.phone_set) == ("en", "arpabet")
        assert (utterance.audio_rate_hz, len(utterance.audio), utterance.track.rate_hz) == (16000, 9200, 100)
        check_positions(utterance.track.values, truth(seed))


def test_the_track_and_the_phones_start_where_the_trimmed_part_does(tmp_path: Path):
    write_utterance(tmp_path, 1, "f0001")
    utterance = read_one(tmp_path)
    assert utterance.track.start_s == 0.15
    assert utterance.phones == (
        Phone("sil", 0.15, 0.19), Phone("dh", 0.19, 0.25), Phone("ih1", 0.25, 0.36), Phone("s", 0.36, 0.45),
    )  # fmt: skip


@FEW
@given(
    courses=movements(PLACES, spread_mm=2, decimals=None, keep=("ll", "td")),
    sign=st.sampled_from([1, -1]),
    unit_mm=st.sampled_from([1.0, 10.0]),
    places=st.permutations(range(9)),
    kind=st.sampled_from([np.asarray, torch.from_numpy, np.asfortranarray]),
    dtype=st.sampled_from([np.float32, np.float64]),
    sound=sounds((16000,)),
    begin=st.integers(0, 9),
    labels=st.lists(words(), min_size=1, max_size=5),
    cuts=st.lists(st.floats(0, 1), min_size=4, max_size=4).map(sorted),
    name=st.tuples(st.integers(1, 9999), st.sampled_from(["m_", "xf", "", "2_F-"]), st.integers(0, 9999)),
    text=sentences(LATIN),
)
def test_any_utterance_comes_back(
    tmp_path_factory: pytest.TempPathFactory, courses: Courses, sign: int, unit_mm: float, places: list[int],
    kind: Callable[[np.ndarray], Any], dtype: type, sound: Sound, begin: int, labels: list[str], cuts: list[float],
    name: tuple[int, str, int], text: str,
):  # fmt: skip
    root, columns = tmp_path_factory.mktemp("any"), {key: 2 * at for key, at in zip(PLACES, places, strict=False)}
    speaker, stem, frames = name[0], f"{name[1]}{name[2]:04d}", len(courses["td"])
    trimmed = np.full((frames, 18), 300 / unit_mm)
    for articulator, column in columns.items():
        trimmed[:, column : column + 2] = courses[articulator] * (sign, 1) / unit_mm
    edges = [0, *(int(cut * frames) for cut in cuts[: len(labels) - 1]), frames]
    write_utterance(root, speaker, stem, ema_trimmed=kind(trimmed.astype(dtype)), phonemes=labels,
                    durations=np.diff(edges).tolist(), begin_end=[begin, begin + frames])  # fmt: skip
    sound = np.pad(sound[0], (0, 8000)), sound[1]  # as long as the movements
    write_sound(root / f"audios/spk{speaker}/{stem}.wav", sound)
    (root / "mocha-timit.txt").write_text(f"{name[2]:03d}. {text}\n10000. Other.\n", encoding="latin-1", newline="")
    read = read_one(root, columns=columns, unit_mm=unit_mm)
    assert_track(read, courses, rate_hz=100, start_s=begin / 100, atol=1e-4)
    assert_sound(read, sound)
    written: list[Span] = [(label, begin + start, begin + end)
                           for label, start, end in zip(labels, edges[:-1], edges[1:], strict=True)]  # fmt: skip
    assert_phones(read.phones, written, 0.01)
    assert (read.id, read.speaker, read.text) == (f"spk{speaker}_{stem}", f"spk{speaker}", text)


@pytest.mark.parametrize("kind", [torch.from_numpy, lambda rows: rows.astype(np.float32), np.asfortranarray])
def test_tensors_and_arrays_are_read_alike(tmp_path: Path, kind: Callable[[np.ndarray], Any]):
    write_utterance(tmp_path, 1, "f0001", ema_trimmed=kind(truth(0)), begin_end=np.array([BEGIN, BEGIN + FRAMES]))
    np.testing.assert_allclose(read_one(tmp_path).track.values[:, 0], truth(0)[:, COLUMNS["td"]], rtol=1e-6)


def test_the_normalised_array_is_never_read(tmp_path: Path):
    write_utterance(tmp_path, 1, "f0001", ema_trimmed_and_normalised_with_6_articulators=..., ema_raw=..., mfcc=...)
    check_positions(read_one(tmp_path).track.values, truth(0))


def test_lost_samples_stay_lost(tmp_path: Path):
    lost = truth(0)
    lost[4:7, COLUMNS["tt"]] = np.nan
    write_utterance(tmp_path, 1, "f0001", ema_trimmed=lost)
    assert (~read_one(tmp_path).track.valid).sum() == 3


def test_columns_are_a_setting_and_what_is_left_out_is_missing(tmp_path: Path):
    moved = np.roll(truth(0), 2, axis=1)
    write_utterance(tmp_path, 1, "f0001", ema_trimmed=moved)
    with pytest.raises(CorpusError, match=r"f0001\.pt.*(order|wrong columns)"):
        read_one(tmp_path)
    columns = {name: (column + 2) % 18 for name, column in COLUMNS.items() if name != "li"}
    values = read_one(tmp_path, columns=columns).track.values
    np.testing.assert_array_equal(values[:, CHANNELS.index("ul_y")], truth(0)[:, 1])
    assert np.isnan(values[:, CHANNELS.index("li_x")]).all()


@pytest.mark.parametrize("columns", [{"jaw": 0}, {"ul": 17}, {"ul": -1}])
def test_columns_that_cannot_be_are_a_config_error(columns: dict[str, int]):
    with pytest.raises(ConfigError, match=r"corpus\.columns"):
        Spire(Path("."), columns=columns)


def test_prompts_may_lie_elsewhere(tmp_path: Path):
    write_utterance(tmp_path / "a", 1, "f0001")
    (tmp_path / "a/mocha-timit.txt").rename(tmp_path / "sentences.txt")
    assert read_one(tmp_path / "a", prompts=str(tmp_path / "sentences.txt")).text == SENTENCES[1]
    with pytest.raises(CorpusError, match=r"mocha-timit\.txt: no such file.*corpus\.prompts"):
        read_one(tmp_path / "a")


def test_other_files_are_no_utterances(tmp_path: Path):
    path = write_utterance(tmp_path, 1, "f0001")
    for other in ("spk1/notes.pt", "spk1/0001.wav", "0002.pt", "model/0003.pt"):
        copy = path.parents[1] / other
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    assert Spire(tmp_path).sources() == ["processed/spk1/f0001.pt"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no trimmed movements": ({"ema_trimmed": ...}, "lacks ema_trimmed; has"),
    "12 columns": ({"ema_trimmed": truth(0)[:, :12]}, "ema_trimmed"),
    "rows as columns": ({"ema_trimmed": truth(0).T}, "ema_trimmed"),
    "a list": ({"ema_trimmed": truth(0).tolist()}, "ema_trimmed"),
    "truth values": ({"ema_trimmed": truth(0) > 0}, "ema_trimmed"),
    "normalised": ({"ema_trimmed": truth(0) / truth(0).std(axis=0) / 99}, "wrong unit"),
    "upside down": ({"ema_trimmed": truth(0) * np.tile([1, -1], 9)}, "upper lip"),
    "infinite": ({"ema_trimmed": np.full((FRAMES, 18), np.inf)}, "a position of inf"),
    "all lost": ({"ema_trimmed": np.full((FRAMES, 18), np.nan)}, "needs a lip and the back or middle"),
    "marks that span another length": ({"begin_end": [BEGIN, BEGIN + FRAMES + 1]}, "begin_end"),
    "marks in seconds": ({"begin_end": [0.15, 0.45]}, "begin_end"),
    "marks before the start": ({"begin_end": [-1, FRAMES - 1]}, "begin_end"),
    "marks at another rate": ({"begin_end": [150, 150 + FRAMES]}, "are they at 100 Hz"),
    "three marks": ({"begin_end": [1, 2, 3]}, "begin_end"),
    "marks as text": ({"begin_end": "15"}, "begin_end"),
    "marks without number": ({"begin_end": [float("nan"), float("inf")]}, "begin_end"),
    "durations that do not add up": ({"durations": [4, 6, 11, 10]}, "durations"),
    "a duration too many": ({"durations": [4, 6, 11, 8, 1]}, "phonemes"),
    "a negative duration": ({"durations": [-4, 14, 11, 9]}, "durations"),
    "phones that are numbers": ({"phonemes": [1, 2, 3, 4]}, "phonemes"),
    "phones as a dict": ({"phonemes": {"a": 1}}, "phonemes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(tmp_path: Path, case: str):
    changes, problem = WRONG[case]
    write_utterance(tmp_path, 1, "f0001", **changes)
    with pytest.raises(CorpusError, match=problem) as error:
        read_one(tmp_path)
    assert "f0001.pt" in str(error.value)


BROKEN: Breakages = {
    "cut": (lambda root: shortened(next(root.rglob("*.pt"))), r"f0001\.pt"),
    "empty": (lambda root: next(root.rglob("*.pt")).write_bytes(b""), r"f0001\.pt"),
    "text": (lambda root: next(root.rglob("*.pt")).write_text("ema_trimmed"), r"f0001\.pt"),
    "a list": (lambda root: torch.save([1], next(root.rglob("*.pt"))), r"f0001\.pt"),
    "no audio": (lambda root: next(root.rglob("*.wav")).unlink(), r"audios/spk1/f0001\.wav: no such file"),
    "sentence lacks": (
        lambda root: (root / "mocha-timit.txt").write_text("002. Jane."),
        "0 sentences with the number 1",
    ),
    "two sentences": (lambda root: (root / "mocha-timit.txt").write_text("1. Jane.\n1. Joe."), "2 sentences"),
}


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_error_that_names_it(tmp_path: Path, case: str):
    write_utterance(tmp_path, 1, "f0001")
    assert_refused(tmp_path, lambda: read_one(tmp_path), BROKEN[case])


def test_containers_that_double_do_not_hang_the_reader(tmp_path: Path):
    laughs: Any = "ha"
    for _ in range(100):
        laughs = [laughs, laughs]
    write_utterance(tmp_path, 1, "f0001", phonemes=laughs, mfcc=laughs)
    with pytest.raises(CorpusError, match="phonemes"):
        read_one(tmp_path)


def test_nothing_to_read_says_so(tmp_path: Path):
    with pytest.raises(CorpusError, match="holds no utterance"):
        Spire(tmp_path).sources()
    with pytest.raises(CorpusError, match="not named as"):
        Spire(tmp_path).read("processed/spk1/f1.pt")


def test_damage_anywhere_is_an_error_or_harmless(tmp_path: Path):
    write_utterance(tmp_path, 1, "f0001")
    assert refusals_in_corpus(Spire(tmp_path)) > 50
