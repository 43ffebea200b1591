from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import real
from scipy.io import savemat

from tractprobe.articulators import CHANNELS
from tractprobe.corpora.hprc import Hprc
from tractprobe.errors import CorpusError

NAME = "F02_B03_S07_R01_N"
SENSORS = ("TR", "TB", "TT", "UL", "LL", "ML", "JAW", "JAWL")
FIELDS = ("NAME", "SRATE", "SIGNAL", "SOURCE", "SENTENCE", "WORDS", "PHONES", "LABELS")


def element(name: str, rate_hz: Any, signal: np.ndarray, **more: Any) -> dict[str, Any]:
    empty = np.zeros((1, 0))
    return dict.fromkeys(FIELDS, empty) | {"NAME": name, "SRATE": rate_hz, "SIGNAL": signal} | more


def signals() -> dict[str, np.ndarray]:
    """Each sensor's six columns, every value telling sensor, row and column apart."""
    rows = np.arange(50)[:, None]
    return {name: (100 * index + rows + np.arange(6) / 10).astype(np.float32) for index, name in enumerate(SENSORS)}


def write_hprc(root: Path, sensors: list[str] | None = None, variable: str = NAME, **changes: Any) -> Path:
    """Write an utterance as HPRC has it: one struct array (1, n) named as the file, audio first."""
    phones = np.empty((1, 2), dtype=[("LABEL", object), ("OFFS", object)])
    phones[0, 0], phones[0, 1] = ("sp", np.array([[0.0, 0.2]])), ("DH", np.array([[0.2, 0.24]]))
    audio = np.linspace(-0.5, 0.5, 22050, dtype=np.float32)[:, None]
    tracks = signals() | changes.pop("tracks", {})
    about = {"SENTENCE": "The birch canoe slid.", "PHONES": phones} | changes
    elements = [element("AUDIO", np.uint16(44100), audio, **about)]
    elements += [element(name, np.uint8(100), tracks[name]) for name in sensors or SENSORS]
    array = np.empty((1, len(elements)), dtype=[(field, object) for field in FIELDS])
    for index, one in enumerate(elements):
        array[0, index] = tuple(one[field] for field in FIELDS)
    path = root / "F02/data" / f"{NAME}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {variable: array})
    return path


def read_one(root: Path) -> Any:
    reader = Hprc(root)
    (source,) = reader.sources()
    (utterance,) = reader.read(source)
    return utterance


def test_round_trip(tmp_path: Path):
    write_hprc(tmp_path)
    utterance = read_one(tmp_path)
    assert (utterance.id, utterance.speaker, utterance.language) == (NAME, "F02", "en")
    assert utterance.text == "The birch canoe slid."
    assert (utterance.audio_rate_hz, len(utterance.audio), utterance.audio.dtype) == (44100, 22050, np.float32)
    assert [(phone.label, phone.start_s, phone.end_s) for phone in utterance.phones] == [
        ("sp", 0, 0.2),
        ("DH", 0.2, 0.24),
    ]
    assert utterance.track.rate_hz == 100


@pytest.mark.parametrize("order", [list(SENSORS), [*SENSORS[::-1]], [name for name in SENSORS if name != "ML"]])
def test_sensors_are_found_by_name_and_x_and_z_are_taken(tmp_path: Path, order: list[str]):
    write_hprc(tmp_path, sensors=order)
    values, written = read_one(tmp_path).track.values, signals()
    for articulator, sensor in {"td": "TR", "tb": "TB", "tt": "TT", "li": "JAW", "ul": "UL", "ll": "LL"}.items():
        np.testing.assert_array_equal(values[:, CHANNELS.index(f"{articulator}_x")], written[sensor][:, 0])
        np.testing.assert_array_equal(values[:, CHANNELS.index(f"{articulator}_y")], written[sensor][:, 2])


def test_lost_samples_stay_lost(tmp_path: Path):
    lost = signals()["TT"]
    lost[10:13] = np.nan
    write_hprc(tmp_path, tracks={"TT": lost})
    missing = ~read_one(tmp_path).track.valid
    assert missing.sum() == 6 and missing[10:13, CHANNELS.index("tt_x")].all()


def test_palates_and_other_files_are_no_utterances(tmp_path: Path):
    path = write_hprc(tmp_path)
    for other in ("F02_palate.mat", "notes.mat"):
        (path.parent / other).write_bytes(path.read_bytes())
    assert Hprc(tmp_path).sources() == [f"F02/data/{NAME}.mat"]


@pytest.mark.parametrize("keep", [0, 1, 60, 127, 128, 200, 1000, 0.5, 0.99])
def test_a_file_cut_short_is_one_error(tmp_path: Path, keep: float):
    path = write_hprc(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep if keep >= 1 or keep == 0 else keep * len(content))])
    with pytest.raises(CorpusError, match=NAME):
        read_one(tmp_path)


def test_bit_rot_is_an_error_or_harmless_but_nothing_else(tmp_path: Path):
    path = write_hprc(tmp_path)
    content, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(content)
        for place in random.integers(0, 4000, size=3):
            broken[place] = random.integers(256)
        path.write_bytes(bytes(broken))
        try:
            read_one(tmp_path)
        except CorpusError as error:
            assert NAME in str(error)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another variable": ({"variable": "F02_B03_S07_R02_N"}, "holds no variable"),
    "a sensor lacks": ({"sensors": ["TR", "TB", "TT", "UL", "LL"]}, "lacks JAW"),
    "two columns": ({"tracks": {"TT": np.zeros((5, 2), np.float32)}}, "TT"),
    "text for movements": ({"tracks": {"TT": "none"}}, "TT"),
    "no rate": ({"SRATE": np.zeros((1, 0))}, "AUDIO"),
    "phones without times": ({"PHONES": np.array([("sp", 1)], dtype=[("LABEL", "O"), ("OFFS", "O")])}, "entry 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_hprc_is_named(tmp_path: Path, case: str):
    changes, problem = WRONG[case]
    write_hprc(tmp_path, **changes)
    with pytest.raises(CorpusError, match=problem) as error:
        read_one(tmp_path)
    assert NAME in str(error.value)


def test_real_files():
    reader = Hprc(real("TRACTPROBE_SAMPLES", "hprc_haskins"))
    assert reader.sources() == ["F01_B01_S01_R01_N.mat", "M01_B01_S01_R01_N.mat"]
    (female,), (male,) = map(reader.read, reader.sources())
    assert (len(female.audio), female.audio_rate_hz, len(male.audio)) == (114_881, 44_100, 118_400)
    assert female.track.values.shape == (262, 12) and male.track.values.shape == (270, 12)
    mean = dict(zip(CHANNELS, female.track.values.mean(axis=0), strict=True))
    assert mean["td_x"] == pytest.approx(-48.67, abs=0.01) and mean["ul_x"] == pytest.approx(9.09, abs=0.01)
    assert mean["ll_y"] == pytest.approx(-22.19, abs=0.01)
    assert male.track.values.mean(axis=0)[CHANNELS.index("td_x")] == pytest.approx(-40.44, abs=0.01)
    assert len(female.phones) == 29 and female.phones[0].label == "sp"
    assert female.text == male.text == "The birch canoe slid on the smooth planks."
    for utterance in (female, male):
        anatomy_is_plausible(utterance.track.values)
        assert 0 < utterance.track.end_s - utterance.duration_s < 0.02


def anatomy_is_plausible(values: np.ndarray) -> None:
    """Lips in front of tip, blade and dorsum, upper lip above lower, spreads in mm."""
    mean = dict(zip(CHANNELS, np.nanmean(values, axis=0), strict=True))
    assert min(mean["ul_x"], mean["ll_x"]) > mean["tt_x"] > mean["tb_x"] > mean["td_x"]
    assert mean["ul_y"] > mean["ll_y"]
    spread = np.nanstd(values, axis=0)
    assert (spread > 0.3).all() and (spread < 8).all()
    index = {name: column for column, name in enumerate(CHANNELS)}
    r = np.corrcoef(values[np.isfinite(values).all(axis=1)].T)
    assert r[index["tt_x"], index["tb_x"]] > r[index["tt_x"], index["ul_x"]]
