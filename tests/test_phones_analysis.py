"""Phones against articulation on planted data, where it is known what is whose."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfiltfilt

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.phone_labels import PhoneLabels
from tractprobe.data.transcript import described
from tractprobe.evidence.analyses.phones import Phones
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.classification import Categories, Confusions, judge
from tractprobe.evidence.methods.partition import Explained, band_sizes, shares
from tractprobe.evidence.record import Evidence, Finding
from tractprobe.probes.linear.discriminant import Discriminant
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError

PHONES = ("a", "i", "m", "s", "t", "u")
ONLY_GERMAN = "x"
LENGTH_S, RATE_HZ = 3.0, 100.0
FRAMES_S = 0.01 + np.arange(148) / 50


def labels_of(random: np.random.Generator, language: str) -> PhoneLabels:
    """Draw phones of 60 to 140 ms, without a pause; one in eight of a phone that German alone has."""
    edges = 0.1 + np.concatenate([[0], np.cumsum(random.uniform(0.06, 0.14, 40))])
    edges = edges[edges < LENGTH_S - 0.1]
    inventory = (*PHONES, *([ONLY_GERMAN] if language == "de" else []))
    ipa = tuple(random.choice(inventory, size=len(edges) - 1).tolist())
    return PhoneLabels(ipa, edges[:-1], edges[1:])


def of_phones(labels: PhoneLabels, times_s: np.ndarray) -> np.ndarray:
    """Return the part of the movements that phones decide: a fixed course for each phone and what is around it."""
    inside = (times_s >= labels.start_s[0]) & (times_s < labels.end_s[-1])
    columns = np.nan_to_num(described(labels, PHONES, times_s, inside))
    return columns @ np.random.default_rng(7).normal(size=(columns.shape[1], len(CHANNELS)))


def of_chance(random: np.random.Generator) -> np.ndarray:
    """Return the part that nothing else decides, as slow as movements."""
    white = random.normal(size=(int(LENGTH_S * RATE_HZ) + 200, len(CHANNELS)))
    return sosfiltfilt(butter(3, 6.0, fs=RATE_HZ, output="sos"), white, axis=0)[100:-100]


class Planted:
    """A corpus whose movements are half the phones' and half chance's, with states of several kinds beside it."""

    def __init__(self, root: Path):
        self.root = root
        (root / "raw").mkdir(parents=True)
        clock_s, random = np.arange(int(LENGTH_S * RATE_HZ)) / RATE_HZ, np.random.default_rng(0)
        self.parts: dict[str, tuple[np.ndarray, np.ndarray, PhoneLabels]] = {}
        for language, speaker, sentence in product(("de", "en", "it"), ("s0", "s1"), range(4)):
            labels = labels_of(random, language)
            self.parts[f"{speaker}_{language}_{sentence}"] = (of_phones(labels, clock_s), of_chance(random), labels)
        sd = [np.concatenate([own[part] for own in self.parts.values()]).std(axis=0) / 5 for part in (0, 1)]
        self.parts = {id_: (own[0] / sd[0], own[1] / sd[1], own[2]) for id_, own in self.parts.items()}
        for id_, (phones, chance, labels) in self.parts.items():
            self.write(id_, *id_.split("_")[:2], labels, phones + chance)
        prepare(Folder("planted", root / "raw"), root / "data")

    def write(self, id_: str, speaker: str, language: str, labels: PhoneLabels, positions: np.ndarray) -> None:
        noise = np.random.default_rng(1).normal(size=int(LENGTH_S * 16000))
        soundfile.write(self.root / "raw" / f"{id_}.flac", 0.01 * noise, 16000)
        np.save(self.root / "raw" / f"{id_}.ema.npy", positions.astype(np.float32))
        spans = zip(labels.ipa, labels.start_s.tolist(), labels.end_s.tolist(), strict=True)
        fields = {
            "speaker": speaker, "language": language, "text": id_, "ema_rate_hz": RATE_HZ, "ema_unit": "mm",
            "ema_channels": list(CHANNELS), "phones": [list(span) for span in spans],
        }  # fmt: skip
        (self.root / "raw" / f"{id_}.json").write_text(json.dumps(fields), encoding="utf-8")

    def states(self, kind: str) -> Path:
        """Write hidden states that carry the phones, the whole movements, or chance's part of them."""
        folder = self.root / kind
        if not folder.exists():
            (folder / "planted").mkdir(parents=True)
            (folder / "features.json").write_text(json.dumps({"rate_hz": 50, "start_s": 0.01}))
            random = np.random.default_rng(3)
            for id_, (phones, chance, labels) in self.parts.items():
                inside = (FRAMES_S >= labels.start_s[0]) & (FRAMES_S < labels.end_s[-1])
                columns = np.nan_to_num(described(labels, PHONES, FRAMES_S, inside))
                tracks = {"movements": phones + chance, "chance": chance}
                x = columns if kind == "phones" else tracks[kind][np.round(FRAMES_S * RATE_HZ).astype(int)]
                x = np.concatenate([x, np.zeros((len(x), columns.shape[1] - x.shape[1]))], axis=1)
                x = x + 0.02 * x.std() * random.normal(size=x.shape)
                np.save(folder / "planted" / f"{id_}.npy", x[None].astype(np.float32))
        return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return Planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture
def found(planted: Planted, configure: Callable[..., Any]) -> Callable[[str], Evidence]:
    def analysed(kind: str) -> Evidence:
        config = configure(
            f"paths.data={planted.root / 'data'}", "corpora=[planted]", "model=features", "ema.lowpass_hz=45",
            f"model.root={planted.states(kind)}", "features.storage=float32", "head.alphas=[1,100,10000]",
        )  # fmt: skip
        acoustics = "mel_frame" if kind == "movements" else None
        return Phones(shrinkages=(0.01, 0.3), projections=1, acoustics=acoustics)(Bench(Settings.of(plain(config))))

    return analysed


def value(evidence: Evidence, name: str) -> float:
    finding = evidence.finding(name)
    assert finding is not None and finding.value is not None, finding
    return float(finding.value)


def part(finding: Finding | None, kind: str, name: str) -> float:
    assert finding is not None
    (own,) = (own for own in finding.by if (own.kind, own.name) == (kind, name))
    assert own.value is not None
    return float(own.value)


def test_states_that_carry_exactly_the_phones_say_nothing_beyond_them(found: Callable[[str], Evidence]):
    evidence = found("phones")
    assert value(evidence, "phonetic_score") > 0.97
    assert abs(value(evidence, "unique_states")) < 0.02 and abs(value(evidence, "unique_phones")) < 0.02
    assert value(evidence, "common") == pytest.approx(0.5, abs=0.08)
    assert value(evidence, "movements_from_states") == pytest.approx(
        value(evidence, "movements_from_timed_phones"), abs=0.01
    )
    assert abs(part(evidence.finding("unique_states"), "class", "phones in training")) < 0.02
    table = next(table for table in evidence.tables if table.name == "unseen_phones")
    german, *others = sorted(table.rows, key=lambda row: row["language"])
    assert 0.08 < german["share"] < 0.25 and all(row["left_out"] == 0 for row in others)  # about one in seven
    assert any(str(german["left_out"]) in caveat for caveat in evidence.caveats)
    assert part(evidence.finding("phonetic_score"), "feature", "manner") > 0.9
    conditions = {row["condition"] for row in evidence.rows}
    assert conditions == {"movements_from_states", "movements_from_both", "phonetic_r"}
    assert len(evidence.rows) == 3 * 3 * 2  # conditions, languages, speakers


def test_states_that_carry_exactly_the_movements_hold_what_phones_do_not(found: Callable[[str], Evidence]):
    evidence = found("movements")
    assert value(evidence, "movements_from_states") > 0.97
    assert value(evidence, "unique_states") == pytest.approx(0.5, abs=0.08)
    assert value(evidence, "common") == pytest.approx(0.5, abs=0.08)
    assert abs(value(evidence, "unique_phones")) < 0.03
    measured, predicted = value(evidence, "phones_from_measured_frame"), value(evidence, "phones_from_predicted")
    assert predicted == pytest.approx(measured, abs=0.03) and measured > 0.3
    assert value(evidence, "predicted_minus_random") > 0.0
    own, beyond = (value(evidence, f"unique_states{of}") for of in ("", "_beyond_acoustics"))
    assert beyond == pytest.approx(own, abs=0.03)  # the sound is noise
    for name in ("unique_states", "common"):
        for language in ("de", "en", "it"):
            assert part(evidence.finding(name), "language", language) == pytest.approx(0.5, abs=0.1)
        assert part(evidence.finding(name), "articulator", "tt") == pytest.approx(0.5, abs=0.12)


def test_states_that_carry_only_what_phones_lack_share_nothing_with_them(found: Callable[[str], Evidence]):
    evidence = found("chance")
    assert value(evidence, "unique_states") == pytest.approx(0.5, abs=0.08)
    assert value(evidence, "unique_phones") == pytest.approx(0.5, abs=0.08)
    assert abs(value(evidence, "common")) < 0.03
    beyond = evidence.finding("unique_states_beyond_acoustics")
    assert beyond is not None and beyond.value is None and "no spectrum was compared" in beyond.says
    chance = next(level.y for figure in evidence.figures for level in figure.levels if level.text == "chance")
    assert chance == pytest.approx(1 / 6) and abs(value(evidence, "phonetic_score") - chance) < 0.05
    string, timed = (value(evidence, f"movements_from_{name}") for name in ("phone_string", "timed_phones"))
    assert 0.0 < string < timed - 0.1  # lengths vary, so that average ones put phones in the wrong place


def test_an_unlabelled_corpus_is_one_line(planted: Planted, configure: Callable[..., Any], tmp_path: Path):
    class Unlabelled(Folder):
        def read(self, source: str) -> Any:
            (utterance,) = super().read(source)
            object.__setattr__(utterance, "phones", ())
            return [utterance]

    prepare(Unlabelled("unlabelled", planted.root / "raw"), tmp_path / "data")
    config = configure(f"paths.data={tmp_path / 'data'}", "corpora=[unlabelled]", "model.context=0")
    with pytest.raises(ConfigError, match="unlabelled has no phone labels"):
        Phones()(Bench(Settings.of(plain(config))))


def test_settings_that_make_no_sense_are_refused():
    for wrong in (
        {"shrinkages": (2.0,)},
        {"shrinkages": ()},
        {"least_frames": 0},
        {"around_s": ()},
        {"by": "sentence"},
    ):
        with pytest.raises(ConfigError, match="analysis=phones"):
            Phones(**wrong)


def test_explained_variance_is_that_of_the_frames():
    random = np.random.default_rng(0)
    y = random.normal(size=(200, 3)) * [1, 2, 3] + 10
    p = np.stack([y + random.normal(size=y.shape) * scale + 4 * scale for scale in (0.1, 1.0)])
    classes = random.integers(0, 2, 200)
    y[:20, 1] = np.nan
    explained = Explained(2, 2, 3)
    for piece in (slice(0, 90), slice(90, 200)):
        explained.add(("it", "s"), classes[piece], y[piece], p[:, piece])
    for model in range(2):
        for channel in range(3):
            used = np.isfinite(y[:, channel])
            own, predicted = y[used, channel], p[model, used, channel]
            error = (own - own.mean()) - (predicted - predicted.mean())
            away = own - own.mean()
            expected = 1 - (error**2).sum() / (away**2).sum()
            assert explained.r2(("it", "s"), [channel])[model] == pytest.approx(expected)
            assert explained.r(("it", "s"))[model, channel] == pytest.approx(np.corrcoef(own, predicted)[0, 1])
            of_one = classes[used] == 1
            expected = 1 - (error[of_one] ** 2).sum() / (away[of_one] ** 2).sum()
            assert explained.r2(("it", "s"), [channel], [1])[model] == pytest.approx(expected)
    assert explained.frames(("it", "s")) == 200 and explained.frames(("it", "s"), [1]) == classes.sum()
    complete = Explained(1, 1, 2)
    complete.add(("it", "s"), np.zeros(200, int), y[:, [0, 2]], p[:1, :, [0, 2]])
    error, away = (each - each.mean(axis=0) for each in ((y - p[0])[:, [0, 2]], y[:, [0, 2]]))
    pooled = complete.r2(("it", "s"))[0]  # squares are added up over channels
    assert pooled == pytest.approx(1 - (error**2).sum() / (away**2).sum())
    constant = Explained(1, 1, 1)
    constant.add(("it", "s"), np.zeros(9, int), np.ones((9, 1)), np.ones((1, 9, 1)))
    assert np.isnan(constant.r2(("it", "s"))).all() and np.isnan(constant.r(("it", "s"))).all()


def test_shares_add_up_to_what_both_explain():
    random = np.random.default_rng(0)
    for states, phones, both in random.uniform(-1, 1, size=(50, 3)).tolist():
        assert sum(shares(states, phones, both).values()) == pytest.approx(both)


def test_band_sizes_are_banded_ridge():
    """A feature of size s under the penalty α has the penalty α / s²: each band that of its own."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(80, 5)), random.normal(size=80)
    sizes, alphas = band_sizes([2, 3], [10.0, 1000.0]), np.array([10.0] * 2 + [1000.0] * 3)
    scaled = (
        sizes[:, None] * np.linalg.solve((x * sizes).T @ (x * sizes) + 10.0 * np.eye(5), (x * sizes).T @ y)[:, None]
    )
    banded = np.linalg.solve(x.T @ x + np.diag(alphas), x.T @ y)
    np.testing.assert_allclose(scaled[:, 0], banded)


def test_balanced_accuracy_is_the_mean_recall_over_classes_that_occur():
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    true, taken = random.choice(4, 300, p=[0.7, 0.2, 0.1, 0.0]), random.choice(4, 300)
    confusions = Confusions(4)
    for piece in (slice(0, 100), slice(100, 300)):
        confusions.add(("it", "s"), true[piece], taken[piece])
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = sklearn.balanced_accuracy_score(true, taken)
    assert confusions.balanced_accuracy()["it", "s"] == pytest.approx(expected)


def test_what_does_not_depend_on_the_frame_is_at_chance():
    import torch

    random = np.random.default_rng(0)
    weight = torch.from_numpy(random.normal(size=(3, 5)))
    known = torch.tensor([True, True, True, True, False])
    found = Discriminant(weight, torch.zeros(5, dtype=torch.float64), known)
    true = random.choice(5, 40_000, p=[0.6, 0.2, 0.1, 0.05, 0.05])
    frames = [(("it", "s"), random.normal(size=(40_000, 3)), true)]
    (judged,) = judge([found], frames, np.array([True, True, True, True, True]))
    assert judged.chance == 0.25 and judged.scores()["it", "s"] == pytest.approx(0.25, abs=0.01)
    assert judged.confusions.counts["it", "s"][4].sum() == 0  # frames of a class that was not fitted


def test_categories_are_the_columns_of_the_targets(planted: Planted):
    corpus = PreparedCorpus(planted.root / "data" / "planted")
    from tractprobe.evidence.methods.classification import targets_of

    targets, categories = targets_of((*PHONES, ONLY_GERMAN)), Categories.of((*PHONES, ONLY_GERMAN))
    assert sorted(column for own in categories.columns.values() for column in own) == list(range(len(targets.channels)))
    for category, columns in categories.columns.items():
        names = [targets.channels[column].name.rpartition("=")[2] for column in columns]
        assert tuple(names) == categories.values[category]
    entry = corpus.entries[0]
    codes = categories.codes(targets.at(corpus, entry, FRAMES_S))
    labels = PhoneLabels.of(corpus, entry)
    at = labels.phone_at(FRAMES_S)
    expected = [(*PHONES, ONLY_GERMAN).index(labels.ipa[label]) if label >= 0 else -1 for label in at]
    assert codes["phone"].tolist() == expected
    assert (codes["height"] >= 0).sum() == sum(labels.ipa[label] in "aiu" for label in at if label >= 0)
