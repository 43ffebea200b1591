"""What the 2 x 2 finds, through the real engine, where it is known what language and speaker do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.evidence.analyses.crossed import Crossed
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.record import Evidence
from tractprobe.jobs import train
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError

LANGUAGES, SPEAKERS = ("de", "en", "it"), 4
COMMON_HZ = (300.0, 700.0, 1200.0)
OWN_HZ = {"de": 2000.0, "en": 3000.0, "it": 4200.0, "s0": 5200.0, "s1": 5800.0, "s2": 6500.0, "s3": 7200.0}


def write(root: Path, *, of_language: bool, of_speaker: bool, nested: bool = False, seed: int = 0) -> Path:
    """Write a corpus in which five courses move the articulators, all carried by tones.

    Three tones are the same for all. The fourth is the language's own if ``of_language``, the fifth the speaker's own
    if ``of_speaker``: then heads cannot read it without having heard that language, or speaker. All is noisy.
    """
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(7).normal(size=(5, len(CHANNELS)))
    root.mkdir(parents=True)
    for place, language in enumerate(LANGUAGES):
        for number in range(SPEAKERS) if not nested else (place, 3):
            name = f"s{number}" if not nested else f"s{number}{language}"
            for sentence in range(4):
                tones = [
                    *COMMON_HZ,
                    OWN_HZ[language] if of_language else 2000.0,
                    OWN_HZ[f"s{number}"] if of_speaker else 6000.0,
                ]
                _write(
                    root / f"{name}_{language}_{sentence}", name, language, f"{language} {sentence}", tones, mix, random
                )
    return root


def _write(path: Path, speaker: str, language: str, text: str, tones_hz: list[float], mix: np.ndarray, random) -> None:
    speeds_hz, phases = 0.5 + 3 * random.uniform(size=(5, 3)), random.uniform(0, 2 * np.pi, (5, 3))

    def courses(times_s: np.ndarray) -> np.ndarray:
        return np.cos(2 * np.pi * speeds_hz[..., None] * times_s + phases[..., None]).sum(axis=1) / 2

    times_s = np.arange(16000 * 2) / 16000
    carriers = np.sin(2 * np.pi * np.array(tones_hz)[:, None] * times_s + random.uniform(0, 6, (5, 1)))
    audio = 0.01 * (np.exp(courses(times_s)) * carriers).sum(axis=0) + 0.001 * random.normal(size=len(times_s))
    positions = 3 * courses(np.arange(200) / 100).T @ mix
    soundfile.write(path.with_suffix(".flac"), audio, 16000)
    np.save(path.with_name(f"{path.name}.ema.npy"), positions.astype(np.float32))
    fields = {"speaker": speaker, "language": language, "text": text, "ema_rate_hz": 100, "ema_unit": "mm",
              "ema_channels": list(CHANNELS)}  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps(fields), encoding="utf-8")


@pytest.fixture
def found(configure: Callable[..., Any], tmp_path: Path) -> Callable[..., Evidence]:
    def of(heard: str = "[]", **planted: bool) -> Evidence:
        prepare(Folder("planted", write(tmp_path / "raw", **planted)), tmp_path / "data")
        model = ["model=mel", "model.label=mine", "model.bands=40", "model.context=1", f"model.about.languages={heard}"]
        own = configure(*model, "corpora=[planted]", f"paths.data={tmp_path / 'data'}")
        return Crossed(control="mel_frame")(Bench(Settings.of(plain(own))))

    return of


def test_a_bench_holds_out_cells_and_labels(configure: Callable[..., Any]):
    bench = Bench(Settings.of(plain(configure("model=mel_frame"))))
    cells = bench.splits("language:speaker")
    assert len(cells) == 9 and bench.rule("style", unlabelled="left_out").by == "style"
    tested = [bench.entries[id_] for id_ in cells["it:toy/s1"].test]
    assert {(entry.language, entry.speaker) for entry in tested} == {("it", "toy/s1")}


def number(evidence: Evidence, name: str) -> float:
    finding = evidence.finding(name)
    assert finding is not None and finding.value is not None, finding
    return finding.value


def test_where_nothing_is_planted_languages_are_equivalent(found: Callable[..., Evidence]):
    evidence = found(of_language=False, of_speaker=False)
    assert number(evidence, "transfer_ratio") == pytest.approx(1, abs=0.03)
    for name in ("language_effect_new_speaker", "language_effect_known_speaker", "speaker_effect"):
        assert abs(number(evidence, name)) < 0.02
    equivalence = evidence.finding("language_equivalence")
    assert equivalence is not None and equivalence.p is not None and equivalence.p < 0.05
    assert equivalence.margin == 0.03 and equivalence.level == 0.9
    assert equivalence.n == {"speakers": 4, "languages": 3, "channels": 12}
    r = {row["condition"]: row["r"] for row in evidence.tables[0].rows if row["language"] == "all"}
    assert len(r) == 4 and min(r.values()) > 0.8
    every = evidence.finding("language_equivalence_every_language")
    assert (
        every is not None and every.low is not None and every.high is not None and -0.03 < every.low < every.high < 0.03
    )
    assert every.level == pytest.approx(1 - 0.1 / 3) and len(every.by) == 3 and every.p is not None
    assert every.high == max(part.high for part in every.by) or every.low == min(part.low for part in every.by)
    assert "5 or more; there are 3" in (evidence.finding("language_effect_over_languages") or equivalence).says


def test_a_planted_effect_of_language_is_found_for_known_and_new_speakers(found: Callable[..., Evidence]):
    evidence = found("[en,fi]", of_language=True, of_speaker=False)
    for name in ("language_effect_new_speaker", "language_effect_known_speaker"):
        effect = evidence.finding(name)
        assert effect is not None and effect.low is not None and effect.low > 0.03, effect
        assert {part.kind for part in effect.by} == {"language", "speaker", "articulator"}
        assert all(part.value > 0 for part in effect.by if part.kind == "language")
    assert abs(number(evidence, "speaker_effect")) < 0.03 < number(evidence, "language_effect_new_speaker")
    assert number(evidence, "transfer_ratio") < 0.95
    equivalence = evidence.finding("language_equivalence")
    assert equivalence is not None and equivalence.p is not None and equivalence.p > 0.5
    every = evidence.finding("language_equivalence_every_language")
    assert every is not None and every.low is not None and every.low > 0.03
    heard = evidence.finding("heard_languages")
    assert heard is not None and heard.value is not None and "(en) minus others (de+it)" in heard.says
    assert number(evidence, "language_effect_new_speaker_error") < 0


def test_a_planted_effect_of_speakers_is_none_of_languages(found: Callable[..., Evidence]):
    evidence = found("99", of_language=False, of_speaker=True)
    effect = evidence.finding("speaker_effect")
    assert effect is not None and effect.low is not None and effect.low > 0.03
    assert abs(number(evidence, "language_effect_new_speaker")) < 0.03
    heard = evidence.finding("heard_languages")
    assert heard is not None and heard.value is None and "99 languages, not which" in heard.says


def test_nested_speakers_have_no_effect_of_language_within_known_ones(found: Callable[..., Evidence]):
    evidence = found(of_language=True, of_speaker=False, nested=True)
    effect = evidence.finding("language_effect_known_speaker")
    assert effect is not None and effect.value is None and "every speaker speaks one language only" in effect.says
    assert number(evidence, "language_effect_new_speaker") > 0.03
    assert len([row for row in evidence.tables[0].rows if row["language"] == "all"]) == 3
    assert any("not all exist" in caveat for caveat in evidence.caveats)


def test_of_one_language_only_the_speaker_can_be_known_or_new(configure: Callable[..., Any], tmp_path: Path):
    write(tmp_path / "raw", of_language=False, of_speaker=True)
    for file in [*(tmp_path / "raw").glob("*_de_*"), *(tmp_path / "raw").glob("*_it_*")]:
        file.unlink()
    prepare(Folder("english", tmp_path / "raw"), tmp_path / "data")
    own = configure(
        "model=mel", "model.bands=40", "model.context=1", "corpora=[english]", f"paths.data={tmp_path / 'data'}"
    )
    evidence = Crossed(control="")(Bench(Settings.of(plain(own))))
    assert abs(number(evidence, "speaker_effect")) < 0.1  # from 16 s of speech: defined, if hardly more
    for name in ("language_effect_new_speaker", "language_equivalence", "language_equivalence_every_language"):
        finding = evidence.finding(name)
        assert finding is not None and finding.value is None and "one language or one speaker only" in finding.says


def test_the_study_leaves_a_record_once(configure: Callable[..., Any], tmp_path: Path):
    """On the toy corpus of the other tests, by its configuration; a second call reads the first one's record."""
    overrides = ["analysis=crossed", "model=mel_frame"]
    record = train(configure(*overrides))
    (file,) = (tmp_path / "runs/mel_frame/all/evidence/crossed").glob("s0*/evidence.json")
    written = file.read_bytes()
    assert record == train(configure(*overrides)) and file.read_bytes() == written
    assert {row["condition"] for row in record.evidence.rows} == {
        f"{language} language, {speaker} speaker" for language in ("known", "new") for speaker in ("known", "new")
    }
    with pytest.raises(ConfigError, match="margin_r=0"):
        Crossed(margin_r=0.0)
