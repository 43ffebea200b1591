"""Controls of an encoder: what layer 0 sees, spectra and projections that match it, effects in parts, the analysis."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.mel import LogMel, Mfcc
from tractprobe.encoders.untrained import random_weights
from tractprobe.evidence.analyses.controls import Controls
from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.methods.acoustics import Projected, matched, projections, seen_by_layer_0
from tractprobe.evidence.record import Record, read_record
from tractprobe.evidence.statistics.effects import Cells, finding, finding_over_draws, point
from tractprobe.jobs import train
from tractprobe.runs.building import build
from tractprobe.runs.configuration import conf_dir, plain
from tractprobe.runs.settings import Node, Settings
from tractprobe.system.errors import ConfigError

Configure = Callable[..., Any]
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
CONVOLUTIONS = {"conv_dim": [4] * 7, "num_feat_extract_layers": 7}


def option(name: str) -> dict[str, Any]:
    from omegaconf import OmegaConf

    return plain(OmegaConf.load(conf_dir() / "model" / f"{name}.yaml"))


def extent_s(encoder: Encoder, seconds: float = 1.2, step: int = 160) -> float:
    """How far apart the samples are that a frame in the middle of layer 0 depends on, by changing them one by one."""
    wave = torch.from_numpy(np.random.default_rng(0).normal(size=int(16000 * seconds)).astype(np.float32))
    (plain_states,) = encoder([wave])
    frame = plain_states.shape[1] // 2
    centre = int(encoder.geometry.first + frame * encoder.geometry.stride)
    changed = []
    for place in range(max(0, centre - 24000), min(len(wave), centre + 24000), step):
        other = wave.clone()
        other[place : place + step] += 5.0
        (states,) = encoder([other])
        if not torch.equal(states[0, frame], plain_states[0, frame]):
            changed.append(place)
    return (changed[-1] - changed[0] + step) / 16000


@pytest.mark.parametrize(
    ("architecture", "seconds"),
    [
        (
            {
                "model_type": "wav2vec2",
                "feat_extract_norm": "layer",
                "num_conv_pos_embedding_groups": 2,
                "num_conv_pos_embeddings": 16,
            },
            0.325,
        ),
        ({"model_type": "data2vec-audio", "num_conv_pos_embedding_groups": 2, "conv_pos_kernel_size": 5}, 0.425),
    ],
)
def test_what_layer_0_sees_is_what_changes_it(architecture, seconds):
    encoder = random_weights("small", SMALL | CONVOLUTIONS | architecture, normalise=False)
    assert seen_by_layer_0(encoder) == pytest.approx(seconds)
    assert extent_s(encoder) == pytest.approx(seconds, abs=0.021)


def test_what_layer_0_of_other_kinds_sees():
    whisper = {"model_type": "whisper", "d_model": 24, "encoder_layers": 1, "encoder_ffn_dim": 16}
    assert seen_by_layer_0(random_weights("w", whisper)) == pytest.approx((401 + 320 + 320) / 16000)
    usual = random_weights("h", SMALL | {"model_type": "hubert"})
    assert seen_by_layer_0(usual) == pytest.approx(2.565)  # for which the shipped options are
    assert seen_by_layer_0(LogMel(context=5)) == pytest.approx(0.225)


@pytest.mark.parametrize("width", [128, 384, 768, 1024])
@pytest.mark.parametrize("name", ["mel_matched", "mfcc_matched"])
def test_a_matched_spectrum_has_the_context_and_at_least_the_width(name, width):
    encoder = random_weights("h", SMALL | {"model_type": "hubert"})
    encoder.width = width
    settings = matched(option(name), encoder)
    spectrum = build(Node.of("model", settings))
    assert isinstance(spectrum, LogMel)
    assert spectrum.width >= width and spectrum.geometry.stride == encoder.geometry.stride
    seen_s = seen_by_layer_0(spectrum)
    assert seen_s is not None and 2.565 - 0.001 < seen_s < 2.565 + 2 * settings["every"] * 0.02
    sparser = build(Node.of("model", settings | {"every": settings["every"] + 1}))
    assert sparser.width < width or settings["every"] >= 64
    assert isinstance(spectrum, Mfcc) == (name == "mfcc_matched")


def test_projections_are_random_maps_of_stacked_frames_at_any_times(toy):
    one, two = projections(LogMel(bands=4, context=0), [1, 2])  # 25 ms seen, 225 ms stacked
    assert (one.width, one.window_s) == (4, 0.225) and one.name != two.name
    assert two == Projected(4, 0.225, 2) and one.identity != two.identity
    entry, spectrum = toy.entries[0], LogMel(context=5)
    (stacked,) = spectrum([torch.from_numpy(toy.audio(entry.id))])
    times_s = spectrum.geometry.times_s(stacked.shape[1])
    values = one.at(toy, entry, times_s)
    matrix, *_ = np.linalg.lstsq(stacked[0].double().numpy(), values, rcond=None)
    np.testing.assert_allclose(stacked[0].double().numpy() @ matrix, values, atol=1e-3)
    between = one.at(toy, entry, (times_s[:-1] + times_s[1:]) / 2)
    np.testing.assert_allclose(between, (values[:-1] + values[1:]) / 2, atol=1e-4)
    outside = one.at(toy, entry, np.array([-1.0, 100.0]))
    np.testing.assert_allclose(outside, values[[0, -1]], atol=1e-4)
    assert np.abs(two.at(toy, entry, times_s) - values).max() > 0.1


def rows(values: dict[tuple[str, str, str], float | None]) -> list[dict[str, Any]]:
    return [{"language": key[0], "speaker": key[1], "channel": key[2], "r": value} for key, value in values.items()]


OWN = Cells.of(rows({
    ("it", "a", "tt_x"): 0.9, ("it", "a", "ul_y"): 0.5, ("it", "b", "tt_x"): 0.7, ("it", "b", "ul_y"): None,
    ("en", "a", "tt_x"): 0.6, ("en", "a", "ul_y"): 0.4, ("en", "b", "tt_x"): 0.5, ("en", "b", "ul_y"): 0.3,
}))  # fmt: skip


def test_effects_are_paired_by_channel_and_name_what_is_lost():
    other = Cells.of(rows({key: 0.1 for key in OWN.values if key != ("it", "a", "ul_y")} | {("it", "b", "ul_y"): 0.1}))
    gained = OWN.minus(other)
    assert gained.missing == {("it", "a", "ul_y"), ("it", "b", "ul_y")}
    assert gained.lost == 2 and len(gained.values) == 6
    values = gained.of_speakers()
    assert values == pytest.approx({("it", "a"): 0.8, ("it", "b"): 0.6, ("en", "a"): 0.4, ("en", "b"): 0.3})
    found = finding("beyond", "more", gained, tested=True)
    assert found.value == pytest.approx((0.7 + 0.35) / 2)
    assert "2 of 8 scores are undefined and in no mean" in found.says
    assert found.n == {"speakers": 2, "languages": 2, "channels": 2}
    parts = {(part.kind, part.name): part.value for part in found.by}
    assert parts["language", "it"] == pytest.approx(0.7) and parts["speaker", "b"] == pytest.approx(0.45)
    assert parts["articulator", "tt"] == pytest.approx(((0.8 + 0.6) / 2 + (0.5 + 0.4) / 2) / 2)
    assert found.low is not None and found.low < found.value and found.p == 0.5  # of two speakers


def test_means_of_draws_are_over_what_all_draws_have():
    other = Cells.of(rows({("it", "a", "tt_x"): 0.1, ("en", "a", "tt_x"): 0.2}))
    mean = Cells.mean([OWN, other])
    assert mean.values == pytest.approx({("it", "a", "tt_x"): 0.5, ("en", "a", "tt_x"): 0.4})
    assert mean.lost == 6
    assert Cells(OWN.values, 3).minus(Cells(OWN.values, 1)).lost == 3  # of whom the names are not known
    assert finding("none", "nothing", Cells({})).value is None and point(3, Cells({})) == [3, None, None, None]


def drawn(
    random: np.random.Generator, deviation: float, gain: float = 0.0, draws: int = 3
) -> tuple[Cells, list[Cells]]:
    """An encoder and random draws of it, heard by the same four speakers, with luck of each draw."""
    speakers = 0.5 + 0.1 * random.normal(size=4)
    reached = speakers + deviation * random.normal(size=(1 + draws, 1)) + 0.01 * random.normal(size=(1 + draws, 4))
    reached[0] += gain
    own, *others = [
        Cells({("it", f"s{speaker}", "tt_x"): r for speaker, r in enumerate(each.tolist())}) for each in reached
    ]
    return own, others


@pytest.mark.parametrize("deviation", [0.0, 0.02, 0.1])
def test_one_more_draw_exceeds_the_others_as_rarely_as_it_says(deviation):
    random = np.random.default_rng(6)
    found = [finding_over_draws("more", "more", *drawn(random, deviation)) for _ in range(250)]
    excluded = np.mean([one.low > 0 or one.high < 0 for one in found])
    assert (0.004 if deviation else 0) <= excluded < 0.1  # 5 % + 3.6 deviations; fewer are no harm
    assert [one.p < 0.05 for one in found] == [one.low > 0 or one.high < 0 for one in found]


def test_a_gain_over_draws_is_found_and_one_draw_has_no_interval():
    own, draws = drawn(np.random.default_rng(7), 0.01, gain=0.2)
    found = finding_over_draws("more", "more", own, draws, 0.03)
    assert found.low > 0 and found.n == {"speakers": 4, "languages": 1, "channels": 1, "draws": 3}
    assert found.value == pytest.approx(finding("more", "more", own.minus(Cells.mean(draws)), tested=True).value)
    alone = finding_over_draws("more", "more", own, draws[:1])
    assert (alone.low, alone.p) == (None, None) and "there is one draw" in alone.says and alone.value > 0.1


WITHOUT = ["analysis=controls", "analysis.voice=[]", "analysis.shifts=1000", "analysis.projections=1"]
RANDOM = ["model=random", "model.layers=1", "model.width=16", "model.channels=8"]


def conducted(configure: Configure, *overrides: str) -> Record:
    record = train(configure(*WITHOUT, *overrides))
    assert isinstance(record, Record)
    return record


def by_hand(bench: Bench) -> dict[tuple, float]:
    """r at the layer that validation chose, by language, speaker and channel."""
    fits = bench.fit(list(bench.splits().values()))
    return {
        (row["language"], row["speaker"], row["channel"]): row["r"]
        for fitted in fits
        for row in fitted.rows()
        if row["layer"] == chosen_layer(fitted)
    }


def test_each_control_is_subtracted_from_the_encoder(configure):
    record = conducted(configure, *RANDOM, "analysis.acoustics=[mel_frame]", "analysis.random_seeds=2")
    evidence = record.evidence
    bench = Bench(Settings.of(plain(configure(*RANDOM))))
    own, acoustics = by_hand(bench), by_hand(bench.other(bench.option("mel_frame")))
    twins = [by_hand(twin) for seed in (1, 2) if (twin := bench.twin(seed)) is not None]

    def value(name: str) -> float:
        found = evidence.finding(name)
        assert found is not None and found.value is not None, name
        return found.value

    def mean(values: dict) -> float:  # every speaker says the same in every language
        return float(np.mean(list(values.values())))

    assert value("r") == pytest.approx(mean(own))
    assert value("beyond_acoustics") == pytest.approx(mean(own) - mean(acoustics))
    assert value("beyond_acoustics") < -0.2  # movements of the toy corpus are linear in the log spectrum
    assert value("beyond_random") == pytest.approx(mean(own) - np.mean([mean(each) for each in twins]))
    assert evidence.finding("beyond_voice").value is None
    null = evidence.finding("null")
    assert null.p is not None and null.p < 0.01 and null.low < 0 < null.high and abs(null.value) < 0.1
    assert abs(value("mismatched")) < 0.15
    of_control = [row["r"] for row in evidence.rows if row["condition"] == "control_task"]
    movements = [row["r"] for row in evidence.rows if row["condition"] == "movements_in_phones"]
    assert value("selectivity") == pytest.approx(np.mean(movements) - np.mean(of_control))
    folder = Settings.of(
        plain(configure(*WITHOUT, *RANDOM, "analysis.acoustics=[mel_frame]", "analysis.random_seeds=2"))
    )
    assert read_record(folder.folder).evidence == evidence


def test_a_spectrum_does_not_exceed_itself_and_has_no_weights_to_draw(configure):
    evidence = conducted(configure, "model=mel_frame", "analysis.acoustics=[mel_frame]").evidence
    same = evidence.finding("beyond_acoustics")
    assert same.value == 0 and same.p == 1
    twins = evidence.finding("beyond_random")
    assert twins.value is None and "no weights" in twins.says
    (figure,) = evidence.figures
    assert [series.name for series in figure.series] == ["mel_frame"]
    assert figure.band is not None and figure.band.low < 0 < figure.band.high


def test_settings_that_cannot_be_are_one_line():
    with pytest.raises(ConfigError, match=r"analysis\.shifts: at least 1000"):
        Controls(shifts=999)
    with pytest.raises(ConfigError, match=r"analysis\.acoustics: at least one"):
        Controls(acoustics=())
