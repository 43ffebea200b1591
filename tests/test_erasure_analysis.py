"""What else is lost with the movements, where the answer is known."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from test_erasure import moments_of

from tractprobe.data import phone_labels
from tractprobe.data.targets import Channel
from tractprobe.evidence.analyses.erasure import Erasure
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.conduct import conducted
from tractprobe.evidence.methods.damage import ITSELF, Readings, mean_of, over_channels
from tractprobe.evidence.methods.erased import NOTHING, PHONES, RANDOM, SUMS, columns_of, targets_of
from tractprobe.evidence.methods.erasure import StateSpace, covariance_with
from tractprobe.evidence.methods.ridge_without import RidgeWithout
from tractprobe.evidence.record import Evidence, Table
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings


def r_after_erasing(x: np.ndarray, z: np.ndarray, erased: list[int], read: int) -> tuple[float, float]:
    """Return r of a head on one half of the frames, before and after erasing targets by the other half."""
    half = len(x) // 2
    moments = moments_of(x[:half], z[:half])
    eraser = StateSpace.of(moments.n, moments.x, moments.xx).eraser(covariance_with(moments)[:, erased])
    ridge, alpha = RidgeWithout([(range(z.shape[1]), moments)]), torch.ones(z.shape[1], dtype=torch.float64)
    found = []
    for each in (None, eraser):
        weight, bias = ridge.heads(alpha, each)
        predicted = x[half:] @ weight[:, read].numpy() + float(bias[read])
        found.append(np.corrcoef(predicted, z[half:, read])[0, 1] if predicted.std() > 1e-9 else 0.0)
    return found[0], found[1]


def test_what_states_hold_apart_is_untouched_and_what_they_hold_together_is_lost():
    random = np.random.default_rng(0)
    latent = random.normal(size=(6000, 4))
    x = latent @ random.normal(size=(4, 12)) + 0.05 * random.normal(size=(6000, 12))
    z = np.stack([latent[:, 0], latent[:, 1], latent[:, 0] + 0.2 * latent[:, 2]], axis=1)
    apart = r_after_erasing(x, z, [0], 1)
    together = r_after_erasing(x, z, [0], 2)
    assert apart[0] > 0.97 and apart[1] == pytest.approx(apart[0], abs=0.01)
    assert together[0] > 0.97 and together[1] == pytest.approx(0.2 / np.sqrt(1.04), abs=0.1)


def rows(r: float | None, speaker: str = "c/a", channel: str = "tt_y") -> list[dict[str, Any]]:
    return [{"language": "en", "speaker": speaker, "target": "ema", "channel": channel, "r": r}]


def test_damage_is_paired_by_speaker_and_channel_over_draws():
    readings = Readings()
    for r in (0.8, 0.6):
        readings.include("phones", "random", rows(r))
    readings.include("phones", ITSELF, rows(0.3))
    readings.include("phones", "random", rows(0.9, channel="ll_y"))
    readings.include("phones", ITSELF, rows(None, channel="ll_y"))  # a head that is constant has no r
    damage = readings.damage("phones", "random", lambda target, name: target == "ema")
    assert damage == {("en", "c/a", "ema", "tt_y"): pytest.approx(0.4)}
    assert over_channels(damage) == {("en", "c/a"): pytest.approx(0.4)}
    assert mean_of([{("en", "c/a"): 1.0, ("en", "c/b"): 5.0}, {("en", "c/a"): 3.0}]) == {("en", "c/a"): 2.0}


def test_parts_of_the_mouth_are_columns():
    channels = [Channel("ema", name, "mm") for name in ("td_x", "li_y", "tt_y", "ul_x")] + [Channel("phones", "a", "1")]
    assert columns_of(channels, "movements") == [0, 1, 2, 3]
    assert columns_of(channels, "tongue") == [0, 2] and columns_of(channels, "lips and jaw") == [1, 3]
    assert columns_of(channels, "phones") == [4]


@pytest.fixture(scope="module")
def kept() -> dict[str, Evidence]:
    return {}


@pytest.fixture
def evidence(configure: Callable[..., Any], kept: dict[str, Evidence]) -> Evidence:
    """Movements of all articulators are sums of the same five courses, in every language alike."""
    if not kept:
        own = [
            "study=erasure",
            "model=mel_frame",
            "model.bands=20",
            "head.alphas=[0.01,1.0]",
            "analysis.draws=1",
            "analysis.sentence_folds=2",
        ]
        kept["toy"] = conducted(Settings.of(plain(configure(*own)))).evidence
    return kept["toy"]


def table(evidence: Evidence, name: str) -> Table:
    return next(table for table in evidence.tables if table.name == name)


def test_articulators_that_move_as_one_are_erased_as_one(evidence: Evidence):
    damage = evidence.finding("damage_to_other_articulators")
    assert damage is not None and damage.low is not None and damage.low > 0.2
    assert {part.name for part in damage.by if part.kind == "erased"} == {"tongue", "lips and jaw"}
    cells = {(row["erased"], row["read"]): row for row in table(evidence, "damage").rows}
    assert cells["tongue", "lips and jaw"]["after"] < cells["tongue", "lips and jaw"]["after_random"]
    assert cells["movements", "movements"]["after"] is None  # no linear head is left, so there is no r
    assert cells["movements", "tongue"]["channels"] == 0


def test_what_other_languages_erase_is_erased_where_languages_are_alike(evidence: Evidence):
    r = {row["erased"]: row["r"] for row in table(evidence, "regained").rows}
    left, before = r["movements, as the others have them"], r[NOTHING]
    assert before > 0.6 and r["random directions"] > left + 0.1
    residual, beyond = evidence.finding("residual"), evidence.finding("residual_beyond_known")
    assert residual is not None and residual.value == pytest.approx(left)
    assert beyond is not None and beyond.value is not None and abs(beyond.value) < 0.2


def test_every_finding_says_over_what_and_rows_pair_encoders(evidence: Evidence):
    defined = [finding for finding in evidence.findings if finding.value is not None]
    assert len(defined) == len(evidence.findings) == 12
    for finding in defined:
        assert finding.n == {"speakers": 3, "languages": 3} and finding.over
        assert {"language", "speaker"} <= {part.kind for part in finding.by}
    conditions = {(row["condition"], row["read"]) for row in evidence.rows}
    assert (NOTHING, "speakers") in conditions and ("random directions for movements", "phones") in conditions
    assert all(np.isfinite(row["r"]) for row in evidence.rows)


def test_corpora_without_phones_are_told_so(configure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    bench = Bench(Settings.of(plain(configure("study=erasure", "model=mel_frame"))))
    assert targets_of(bench)[1] == "" and "phones" in targets_of(bench)[0].names
    monkeypatch.setattr(phone_labels, "_counted", lambda corpus, entries: Counter())
    targets, reason = targets_of(bench)
    assert targets.names == ("ema",) and "no phone labels" in reason
    readings = Readings()
    for erased in ("tongue", "lips and jaw"):
        for how, r in ((ITSELF, 0.2), (RANDOM, 0.6), (SUMS, 0.5)):
            for speaker in ("c/a", "c/b"):
                readings.include(erased, how, rows(r, speaker) + rows(r, speaker, "ll_y"))
    found = {finding.name: finding for finding in Erasure()._damages(readings, {PHONES: reason})}
    for name in ("damage_to_phones", "phone_erasure_damage_to_movements"):
        assert found[name].value is None and reason in found[name].says
    assert found["damage_to_other_articulators"].value == pytest.approx(0.4)
    assert found["damage_to_other_articulators_beyond_sums"].value == pytest.approx(0.3)
    assert found["damage_to_speaker"].value is None
