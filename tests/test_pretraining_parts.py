"""Parts of pretraining against a known truth or an oracle."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pretrained import recipe_of
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from torch.nn import functional
from transformers import HubertConfig, HubertModel, Wav2Vec2ForPreTraining
from transformers.models.hubert.modeling_hubert import _compute_mask_indices

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.encoders.frames import count_frames
from tractprobe.pretraining.augmentation import Drawn, changed, coloured_noise, drawn_effects, filtered, resampled
from tractprobe.pretraining.clusters import found_clusters, nearest
from tractprobe.pretraining.counters import global_numpy_seeded, number_of, random_of
from tractprobe.pretraining.crops import Sampling, masks
from tractprobe.pretraining.frames import STACK, standardised
from tractprobe.pretraining.model import TEMPERATURE, LossWeights, MaskedPrediction, outcome
from tractprobe.pretraining.precision import has_bf16, precision_here
from tractprobe.pretraining.schedule import Schedule
from tractprobe.pretraining.settings import AugmentationPolicy
from tractprobe.pretraining.speech import Speech, Utterance

ALL_EFFECTS = AugmentationPolicy(1.0, 0.15, 0.15, 4.0, 0.5, 5.0, 5.0)


def test_chance_follows_from_seed_and_place_alone():
    assert number_of(0, 3, "mask") == number_of(0, 3, "mask")
    assert len({number_of(seed, update, "mask") for seed in (0, 1) for update in range(50)}) == 100
    assert random_of(1, 2).random() == random_of(1, 2).random()


def test_numpys_global_generator_is_put_back():
    np.random.seed(5)
    expected = np.random.rand(3)
    np.random.seed(5)
    with global_numpy_seeded(7):
        np.random.rand(100)
    assert np.array_equal(np.random.rand(3), expected)


def test_masks_are_transformers_own():
    recipe = recipe_of("pretrain.batch=4")
    own = masks(recipe, 149, 123)
    np.random.seed(123)
    assert np.array_equal(own, _compute_mask_indices((4, 149), 0.65, 10, min_masks=1))
    assert np.array_equal(own, masks(recipe, 149, 123)) and not np.array_equal(own, masks(recipe, 149, 124))


def test_the_share_of_masked_frames_is_what_is_said():
    recipe = recipe_of("pretrain.batch=8")
    shares = [masks(recipe, 149, number).mean() for number in range(50)]
    assert np.mean(shares) == pytest.approx(0.48, abs=0.03)


def test_frames_are_as_many_as_huberts():
    stack = HubertModel(HubertConfig(hidden_size=16, num_hidden_layers=0, num_attention_heads=1, conv_dim=[4] * 7))
    for samples in (400, 719, 720, 16000, 48000, 47999):
        assert count_frames(STACK, samples) == int(stack._get_feat_extract_output_lengths(samples))


def test_waves_are_standardised_as_transformers_does():
    from transformers import Wav2Vec2FeatureExtractor

    waves = np.random.default_rng(0).standard_normal((2, 3000)).astype(np.float32) * 0.1 + 0.3
    expected = Wav2Vec2FeatureExtractor(do_normalize=True)(list(waves), sampling_rate=16000)["input_values"]
    assert np.allclose(standardised(torch.from_numpy(waves)).numpy(), np.stack(expected), atol=1e-4)


def planted(count: int = 12, each: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    centres = random.standard_normal((count, 20)) * 4
    truth = np.repeat(np.arange(count), each)
    return (centres[truth] + random.standard_normal((len(truth), 20))).astype(np.float32), truth


def test_planted_clusters_are_found_as_scikit_learn_finds_them():
    frames, truth = planted()
    centroids = found_clusters(frames, 12, random_of(0, "clusters"), batches=30, batch=500)
    labels = nearest(frames, centroids)
    assert adjusted_rand_score(truth, labels) > 0.99
    theirs = KMeans(12, n_init=5, random_state=0).fit(frames)
    inertia = float(np.square(frames - centroids[labels]).sum())
    assert inertia == pytest.approx(theirs.inertia_, rel=1e-3)
    assert np.array_equal(nearest(frames, theirs.cluster_centers_), theirs.predict(frames))


def test_clusters_are_the_same_to_the_bit_and_none_is_empty():
    frames = np.random.default_rng(1).standard_normal((3000, 5)).astype(np.float32)
    frames[1000:] = frames[0]  # many of one kind, as silence is
    first, second = (found_clusters(frames, 40, random_of(0, "clusters"), batch=500) for _ in range(2))
    assert np.array_equal(first, second)
    assert len(set(nearest(frames, first).tolist())) == 40


def test_more_clusters_than_frames_are_refused():
    with pytest.raises(ValueError, match="3 frames for 4 clusters"):
        found_clusters(np.zeros((3, 2), np.float32), 4, random_of(0))


def small_model(clusters: int = 7) -> MaskedPrediction:
    config = HubertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=[8] * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, feat_extract_norm="layer",
    )  # fmt: skip
    torch.manual_seed(0)
    return MaskedPrediction(HubertModel(config), clusters, seed=0).eval()


def test_logits_are_transformers_contrastive_logits_with_every_cluster():
    model = small_model()
    waves, mask = torch.randn(2, 8000), torch.rand(2, 24) < 0.5
    logits = model(waves, mask)
    states = model.projection(model.hubert(waves, mask_time_indices=mask).last_hidden_state)
    target = model.codebook[0].expand(2, 24, -1)
    others = model.codebook[1:, None, None].expand(-1, 2, 24, -1)
    theirs = Wav2Vec2ForPreTraining.compute_contrastive_logits(target[None], others, states, TEMPERATURE)
    assert torch.allclose(logits.permute(2, 0, 1), theirs, atol=1e-4)


def test_the_loss_is_the_mean_cross_entropy_of_each_kind_of_frame():
    torch.manual_seed(1)
    logits, labels, mask = torch.randn(3, 50, 9), torch.randint(9, (3, 50)), torch.rand(3, 50) < 0.4
    found = outcome(logits, labels, mask, LossWeights(2.0, 1.0))
    masked, unmasked = (functional.cross_entropy(logits[part], labels[part]) for part in (mask, ~mask))
    assert torch.allclose(found.masked_loss, masked) and torch.allclose(found.unmasked_loss, unmasked)
    assert torch.allclose(found.loss, (2 * masked + unmasked) / 3)
    assert float(found.masked_accuracy) == pytest.approx(float((logits.argmax(-1) == labels)[mask].float().mean()))


def test_what_is_masked_is_not_heard_where_nothing_else_tells():
    model = small_model()
    waves = torch.randn(1, 8000)
    everywhere = torch.ones(1, 24, dtype=torch.bool)
    assert torch.allclose(model(waves, everywhere), model(torch.randn(1, 8000), everywhere), atol=1e-5)
    assert not torch.allclose(model(waves, ~everywhere), model(torch.randn(1, 8000), ~everywhere), atol=1e-2)


def test_the_rate_rises_stays_and_falls_when_asked_to():
    plateau = Schedule(1e-3, 10, 1000, 0)
    assert plateau.rate(0) == pytest.approx(1e-4) and plateau.rate(9) == plateau.rate(999) == 1e-3
    cooling = replace(plateau, cooldown=200)
    falling = [cooling.rate(update) for update in range(999, 1200)]
    assert falling[0] == 1e-3 and falling == sorted(falling, reverse=True) and 0 < falling[-1] < 1e-5
    assert cooling.total == 1200


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx512f avx2", False)]
)
def test_bfloat16_is_used_where_the_processor_says_so(tmp_path, monkeypatch, flags: str, expected: bool):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor : 0\nflags\t\t: {flags}\nbugs :\n")
    monkeypatch.setattr("sys.platform", "linux")
    assert has_bf16("cpu", file) is expected
    assert not has_bf16("cpu", tmp_path / "missing")
    assert precision_here("32-true", "cpu") == "32-true" and precision_here("bf16-mixed", "cpu") == "bf16-mixed"


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(16000 * seconds)) / 16000).astype(np.float32)


def loudest_hertz(audio: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(audio * np.hanning(len(audio))))) * 16000 / len(audio))


def test_faster_audio_is_higher_and_each_sample_is_what_was_at_its_place():
    faster = resampled(tone(1000, 1.2), 1.2, 16000)
    assert len(faster) == 16000 and loudest_hertz(faster) == pytest.approx(1200, abs=2)
    click = np.zeros(24000, np.float32)
    click[12000] = 1
    assert abs(int(np.argmax(resampled(click, 1.2, 16000))) - 10000) <= 1
    assert np.array_equal(resampled(click, 1.0, 16000), click[:16000])


def vowel(formants_hz: tuple[float, ...], pitch_hz: float = 120) -> np.ndarray:
    from scipy.signal import lfilter

    wave = np.zeros(16000)
    wave[:: int(16000 / pitch_hz)] = 1
    for hertz in formants_hz:
        radius, angle = np.exp(-np.pi * 80 / 16000), 2 * np.pi * hertz / 16000
        wave = lfilter([1.0], [1, -2 * radius * np.cos(angle), radius**2], wave)
    return (wave / np.abs(wave).max()).astype(np.float32)


def centroid_hertz(audio: np.ndarray, low: float, high: float) -> float:
    power, hertz = np.abs(np.fft.rfft(audio)) ** 2, np.fft.rfftfreq(len(audio), 1 / 16000)
    within = (hertz > low) & (hertz < high)
    return float((power * hertz)[within].sum() / power[within].sum())


def test_a_longer_tract_lowers_resonances_and_leaves_pitch_and_time():
    short = vowel((1500.0,))
    longer = filtered(short, 1.2, None)
    assert len(longer) == len(short)
    assert centroid_hertz(longer, 700, 2500) == pytest.approx(centroid_hertz(vowel((1250.0,)), 700, 2500), rel=0.05)
    envelope = np.abs(longer) > 0.5 * np.abs(longer).max()
    starts = np.flatnonzero(np.diff(envelope.astype(int)) == 1)
    assert np.median(np.diff(starts[np.diff(starts, prepend=-1000) > 60])) == pytest.approx(133, abs=4)  # 120 Hz


def test_equal_gains_change_the_level_alone():
    audio = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    louder = filtered(audio, 1.0, np.full(8, 6.0206))
    assert np.allclose(louder[600:-600], 2 * audio[600:-600], atol=1e-3)


def test_noise_has_the_ratio_and_the_colour_that_were_drawn():
    random, speech = random_of(0), tone(500)
    noisy = changed(speech, Drawn(noise_db=10.0), random, speech)
    assert 10 * np.log10(np.mean(speech**2) / np.mean((noisy - speech) ** 2)) == pytest.approx(10, abs=0.1)
    power = np.abs(np.fft.rfft(coloured_noise(1 << 16, 2.0, random))) ** 2
    hertz = np.fft.rfftfreq(1 << 16, 1 / 16000)
    slope = np.polyfit(np.log(hertz[1000:]), np.log(power[1000:]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.1)


def test_effects_are_drawn_for_their_share_and_nothing_is_drawn_for_none():
    drawn = [drawn_effects(replace(ALL_EFFECTS, share=0.3), random_of(0, number)) for number in range(400)]
    for happens in (
        [each.speed != 1 for each in drawn], [each.room is not None for each in drawn],
        [each.talker_db is not None for each in drawn], [each.gains_db is not None for each in drawn],
    ):  # fmt: skip
        assert np.mean(happens) == pytest.approx(0.3, abs=0.08)
    assert all(0.86 < each.speed < 1.17 and 0.86 < each.tract_length < 1.17 for each in drawn)
    assert drawn_effects(replace(ALL_EFFECTS, share=0.0), random_of(0)) == Drawn()


def test_all_effects_together_keep_length_and_are_finite():
    speech = vowel((700.0, 1200.0))
    drawn = Drawn(1.1, 1.1, np.ones(8), (0.4, 3.0), 5.0, 1.0, 5.0)
    heard = changed(speech, drawn, random_of(1), tone(300))
    assert heard.shape == speech.shape and heard.dtype == np.float32 and np.isfinite(heard).all()
    assert np.array_equal(heard, changed(speech, drawn, random_of(1), tone(300)))


class _Speech(Speech):
    """Utterances of known lengths: 3 languages with shares 0.7, 0.2, 0.1 of the speech."""

    def __init__(self):
        lengths = {"a": [70_000] * 10, "b": [40_000] * 5, "c": [20_000] * 5}
        self.utterances = tuple(
            Utterance(Entry("", "", f"{language}{number % 2}", language, "", length), 0, 0, length, 0, 1)
            for language, own in lengths.items()
            for number, length in enumerate(own)
        )


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, (0.7, 0.2, 0.1)), (1e6, (1 / 3, 1 / 3, 1 / 3))])
def test_languages_are_drawn_by_their_shares_to_the_power_of_one_over_temperature(temperature, expected):
    sampling = Sampling(_Speech(), temperature, 1.0)
    assert tuple(sampling.shares.values()) == pytest.approx(expected, abs=1e-4)


def test_pieces_fill_a_crop_from_one_speaker_and_lie_within_utterances():
    speech = _Speech()
    sampling = Sampling(speech, 2.0, 2.0)
    for number in range(100):
        pieces = sampling.pieces(48_000, random_of(0, number))
        assert sum(piece.count for piece in pieces) == 48_000
        assert len({speech.utterances[piece.utterance].entry.speaker for piece in pieces}) == 1
        for piece in pieces:
            assert piece.start >= 0 and piece.start + piece.count <= speech.utterances[piece.utterance].length
