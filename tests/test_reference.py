"""Mistakes that look like speech in themselves are found by a head that learned from other recordings."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import write_corpus
from hydra import compose, initialize_config_dir

from tractprobe.cli import main
from tractprobe.corpora.audit.limits import own_limits
from tractprobe.corpora.audit.result import Check
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.inversion.export import export
from tractprobe.inversion.inverter import load_head
from tractprobe.inversion.reference import NAMES, Compared, compared, sampled
from tractprobe.jobs import train
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.hydra import register_resolvers
from tractprobe.signals.channels import CHANNELS
from tractprobe.signals.track import Track

Values = np.ndarray


def turned(*channels: str) -> Callable[[Values], Values]:
    signs = np.array([-1.0 if name in channels else 1.0 for name in CHANNELS])
    return lambda values: values * signs


def exchanged(one: str, other: str) -> Callable[[Values], Values]:
    places = {one: other, other: one}
    columns = [CHANNELS.index(f"{places.get(name[:-2], name[:-2])}{name[-2:]}") for name in CHANNELS]
    return lambda values: values[:, columns]


def another_thing(sensor: str) -> Callable[[Values], Values]:
    columns = [CHANNELS.index(f"{sensor}_{axis}") for axis in "xy"]

    def apply(values: Values) -> Values:
        values = values.copy()
        values[:, columns] = np.random.default_rng(len(values)).normal(size=(len(values), 2)).cumsum(axis=0)
        return values

    return apply


def moved(frames: int) -> Callable[[Values], Values]:
    return lambda values: np.roll(values, frames, axis=0)


MISTAKES: dict[str, tuple[Callable[[Values], Values], str, str]] = {
    "s1": (turned(*CHANNELS[::2]), "x against the head", "fail"),
    "s2": (turned(*CHANNELS[1::2]), "y against the head", "fail"),
    "s3": (turned("tt_x", "tt_y"), "sensors against the head", "fail"),
    "s4": (turned("td_y"), "channels against the head", "fail"),
    "s5": (exchanged("tt", "li"), "places against the head", "fail"),
    "s6": (another_thing("ul"), "sensors against the head", "look"),
    "s7": (moved(12), "time against the head", "fail"),
}
"""What was made of each speaker, and what tells it; s0 is as recorded."""


@pytest.fixture(scope="module")
def head(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head that learned from the toy's speakers."""
    folder = tmp_path_factory.mktemp("elsewhere")
    paths = [f"paths.data={data}", f"paths.runs={folder / 'runs'}", f"paths.cache={folder / 'cache'}"]
    register_resolvers()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        train(compose("train", overrides=[*paths, "corpora=[toy]", "tracking=off", "held_out=it", "model=mel"]))
    (result,) = folder.rglob("result.json")
    return export(result.parent)


@pytest.fixture(scope="module")
def misread(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    """Other speakers, of whom all but the first were misread."""
    folder = tmp_path_factory.mktemp("misread")
    raw = write_corpus(folder / "raw", languages=("fr",), speakers=8, sentences=10, seed=500_000)
    for speaker, (make, _, _) in MISTAKES.items():
        for path in raw.glob(f"{speaker}_*.ema.npy"):
            np.save(path, make(np.load(path)))
    return prepare(Folder("misread", raw), folder / "data")


@pytest.fixture(scope="module")
def speakers(head: Path, misread: PreparedCorpus) -> dict[str, Compared]:
    return compared(load_head(head), misread, misread.entries)


def verdicts(of: Compared) -> dict[str, str]:
    return {one.name: Check.of(one, own_limits()[one.name], of.seconds).verdict for one in of.measured()}


def test_a_speaker_as_recorded_passes(speakers: dict[str, Compared]):
    assert set(speakers) == {"s0", *MISTAKES}
    assert verdicts(speakers["s0"]) == dict.fromkeys(NAMES, "pass")
    assert np.nanmin(speakers["s0"].r) > 0.5


@pytest.mark.parametrize("speaker", MISTAKES)
def test_what_was_misread_is_told_from_the_rest(speakers: dict[str, Compared], speaker: str):
    _, name, verdict = MISTAKES[speaker]
    told = verdicts(speakers[speaker])
    assert told[name] == verdict
    axes = {"x against the head", "y against the head"}
    assert all(told[other] == "pass" for other in axes - {name})
    if speaker == "s7":
        assert speakers[speaker].lag_ms == pytest.approx(120, abs=21) and told["places against the head"] != "pass"
    if speaker == "s5":
        assert "in that of" in speakers[speaker].measured()[-1].detail


def test_the_command_names_them_and_fails(
    head: Path, misread: PreparedCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ["audit", str(misread.folder), "--against", str(head), "--page", str(tmp_path / "page.html")]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "FAIL  s1  x against the head: -" in out and "usual cause: x with the wrong sign" in out
    assert "FAIL  s2  y against the head: -" in out and "FAIL  s1  y" not in out
    table = out[: out.index("8 speakers")]
    assert len([line for line in table.splitlines() if line.split()[:1] == ["s1"]]) == 1
    assert "x against the head" in (tmp_path / "page.html").read_text()


def test_a_head_that_knows_the_speakers_says_so(head: Path, toy: PreparedCorpus, capsys: pytest.CaptureFixture[str]):
    main(["audit", str(toy.folder), "--against", str(head)])
    assert "learned from s0, s1, s2 of this corpus" in capsys.readouterr().out


def test_too_little_speech_and_a_head_that_reads_nothing_tell_nothing(misread: PreparedCorpus, head: Path):
    (of,) = compared(load_head(head), misread, misread.entries[:3]).values()
    assert set(verdicts(of).values()) == {"not applicable"} and "10 s needed" in of.measured()[0].detail
    random = np.random.default_rng(0)

    def reads_nothing(wave: np.ndarray, rate_hz: float) -> Track:
        return Track(random.normal(size=(len(wave) // 160, 12)), 100.0)

    own = [entry for entry in misread.entries if entry.speaker == "misread/s0"]
    (of,) = compared(reads_nothing, misread, own).values()
    assert set(verdicts(of).values()) == {"not applicable"} and "reads none" in of.measured()[0].detail


def test_a_head_of_few_channels_judges_those(misread: PreparedCorpus, head: Path):
    whole = load_head(head)

    def of_the_tip(wave: np.ndarray, rate_hz: float) -> Track:
        track = whole(wave, rate_hz)
        columns = [track.channels.index(name) for name in ("tt_y", "tt_x")]
        return Track(track.values[:, columns], track.rate_hz, track.start_s, ("tt_y", "tt_x"))

    own = [entry for entry in misread.entries if entry.speaker == "misread/s3"]
    (of,) = compared(of_the_tip, misread, own).values()
    told = verdicts(of)
    assert of.channels == ("tt_x", "tt_y") and told["sensors against the head"] == "fail"
    assert told["x against the head"] == told["places against the head"] == "not applicable"


def test_a_sample_of_utterances_does_not_depend_on_their_order(misread: PreparedCorpus):
    few = sampled(misread.entries, 3.0)
    assert {entry.speaker for entry in few} == {f"misread/s{number}" for number in range(8)} and len(few) == 24
    assert {entry.id for entry in sampled(misread.entries[::-1], 3.0)} == {entry.id for entry in few}
    assert sampled(misread.entries) == list(misread.entries)
