"""What a GPU computes is what the CPU computes.

Deselected where there is no GPU; ``-m gpu`` shows them as skipped there. ``TRACTPROBE_GPU_TESTS_ON=cpu`` runs their
bodies on the CPU, to see that they can run at all: it proves nothing else.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head_files import RATE_HZ, about_of, noise, random_ridge
from test_heads import CHANNELS as HEAD_CHANNELS
from test_heads import SMALL, bank, random, utterances
from test_heads import fit as fit_bank
from test_linear import CHANNELS, SPLIT, stored, world
from test_ridge import ALPHAS, frames, sums_of

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.data.splits import SplitRule
from tractprobe.data.targets import Targets
from tractprobe.encoders.encoder import Encoder
from tractprobe.encoders.mel import LogMel
from tractprobe.encoders.untrained import random_weights, untrained
from tractprobe.inversion.head_file import write_head
from tractprobe.inversion.inverter import load_head
from tractprobe.jobs import train
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.accumulate import partition, sum_groups
from tractprobe.probes.linear.fit import fit_divisions
from tractprobe.probes.linear.group_moments import GroupMoments, SavedMoments
from tractprobe.probes.linear.selection import Division
from tractprobe.probes.linear.solver import FullMoments, by_cholesky, by_eigenvectors, correlation, solve
from tractprobe.probes.states import HeadInput, HiddenStates
from tractprobe.runs.settings import LoadingPolicy

pytestmark = pytest.mark.gpu
SMALL_MODEL = {"layers": 2, "width": 48, "channels": 16}


@pytest.fixture
def device() -> torch.device:
    return torch.device(os.environ.get("TRACTPROBE_GPU_TESTS_ON", "cuda"))


def allow_tf32(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Switch TF32 off, which cuDNN's convolutions use unless told otherwise."""
    usual = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    allow_tf32(False)
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = usual


@pytest.fixture
def careless(exact: None) -> None:
    """Switch TF32 on, which must not reach what is computed in float64."""
    allow_tf32(True)


def moved(sums: FullMoments, device: torch.device) -> FullMoments:
    fields = vars(sums)
    return FullMoments(
        **{name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in fields.items()}
    )


def assert_near(one: Any, other: Any, tolerance: float) -> None:
    """Compare tensors wherever they are, by what differs against the largest value."""
    one, other = (torch.as_tensor(values).double().cpu() for values in (one, other))
    assert torch.equal(one.isnan(), other.isnan())
    torch.testing.assert_close(
        one, other, rtol=0, atol=tolerance * max(1, other.nan_to_num().abs().max().item()), equal_nan=True
    )


@pytest.mark.parametrize("shift", [0.0, 10.0, 100.0])
@pytest.mark.parametrize("singular", [False, True])
def test_solutions_are_those_of_the_cpu(careless: None, device: torch.device, shift: float, singular: bool):
    x, y = frames(count=400, width=80, shift=shift)
    new, truth = frames(1, count=50, width=80, shift=shift)
    if singular:
        x, new = (np.concatenate([one, 2 * one[:, :9], one[:, :1] * 0 + 7], axis=1) for one in (x, new))
    weights, biases = solve(sums_of(x, y), ALPHAS)
    found, intercepts = solve(moved(sums_of(x, y), device), ALPHAS)
    assert found.device.type == device.type and found.dtype == torch.float64
    assert_near(found, weights, 1e-8)
    assert_near(torch.from_numpy(new) @ found.cpu() + intercepts[:, None].cpu(),
                torch.from_numpy(new) @ weights + biases[:, None], 1e-8)  # fmt: skip
    kept = sums_of(new, truth)
    assert_near(correlation(moved(kept, device), found), correlation(kept, weights), 1e-8)


def test_factors_of_several_sets_and_eigenvectors_agree(careless: None, device: torch.device):
    parts = [sums_of(*frames(seed, count=300, width=100)) for seed in range(3)]
    xx, xy = (torch.stack([getattr(part, name) for part in parts]).to(device) for name in ("xx", "xy"))
    alphas = torch.tensor(ALPHAS, dtype=torch.float64)
    assert_near(by_cholesky(xx, xy, alphas), by_eigenvectors(xx, xy, alphas), 1e-8)
    indefinite = xx - 50 * torch.eye(100, device=device, dtype=torch.float64)  # not all alphas can be factorised
    assert by_cholesky(indefinite, xy, alphas).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("count", [20, 300])
def test_a_groups_moments_on_disk_are_those_of_the_cpu(
    careless: None, device: torch.device, tmp_path: Path, dtype: torch.dtype, count: int
):
    """With sensors that are lost now and then and one that comes late, few frames (kept as they are) and many."""
    random = np.random.default_rng(count)
    x = torch.from_numpy(random.normal(size=(count, 30)) + 10).to(dtype)
    y = torch.from_numpy(random.normal(size=(count, CHANNELS)) * 5 + 100)
    valid = torch.from_numpy(np.repeat(random.random((count, CHANNELS // 2)) < 0.8, 2, axis=1))
    valid[:7, 2:] = False
    files = []
    for number, place in enumerate((torch.device("cpu"), device)):
        moments = GroupMoments({"0": 30}, CHANNELS, place)
        for first in range(0, count, 11):
            some = slice(first, first + 11)
            moments.include({"0": x[some].to(place)}, y[some].to(place), valid[some].to(place))
        files.append(SavedMoments(tmp_path / f"{number}.safetensors"))
        moments.save(files[-1].path)
    assert files[0]._checks().keys() == files[1]._checks().keys()
    for name in files[0]._checks():
        (one,), (other,) = (file.read(name) for file in files)
        assert one.dtype == other.dtype and one.shape == other.shape
        assert_near(other, one, 1e-12)


@pytest.mark.parametrize("shift", [0.0, 10.0, 100.0])
@pytest.mark.parametrize("width", [12, 60])
def test_a_table_is_that_of_the_cpu(careless: None, device: torch.device, tmp_path: Path, shift: float, width: int):
    """Narrow inputs are kept as triangles, wide ones as frames."""
    store = stored(tmp_path, world(lost=0.3, shift=shift, width=width))
    division, rule = Division.of(SPLIT, store), Ridge(1, width, CHANNELS, ALPHAS)
    (expected, scores), *_ = fit_divisions(store, "0", [division], rule)
    (found, reached), *_ = fit_divisions(store, "0", [division], rule, device)
    for name in ("weight", "bias", "alpha", "validation_r"):
        assert_near(getattr(found, name), getattr(expected, name), 1e-8)
    for name, values in vars(scores).items():
        assert_near(getattr(reached, name), values, 1e-8)


@pytest.fixture(params=["group norm", "layer norm", "mel"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    if request.param == "mel":
        return LogMel(bands=20, context=2)
    if request.param == "group norm":
        return untrained(**SMALL_MODEL)
    architecture = {
        "model_type": "wav2vec2", "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 96, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True,
        "conv_dim": [16] * 7,
    }  # fmt: skip
    return random_weights("layer norm", architecture)


def test_states_are_those_of_the_cpu_alone_and_in_a_batch(encoder: Encoder, device: torch.device):
    waves = [torch.from_numpy(noise(seconds)) for seconds in (0.9, 2.3, 1.4)]
    expected = [encoder([wave])[0] for wave in waves]
    encoder.to(device)
    together = encoder([wave.to(device) for wave in waves])
    for wave, one, states in zip(waves, together, expected, strict=True):
        assert one.device.type == device.type
        assert_near(one, states, 1e-3)
        assert_near(encoder([wave.to(device)])[0], states, 1e-3)


def test_a_pass_gives_the_table_of_the_cpu(encoder: Encoder, device: torch.device, toy: PreparedCorpus, tmp_path: Path):
    split = SplitRule("language")(toy.entries, "it", 0)
    layers = tuple(range(encoder.num_layers))
    states, inputs = HiddenStates(encoder, layers, "float32"), [HeadInput.of((layer,)) for layer in layers]
    scores = []
    for name, place in (("one", torch.device("cpu")), ("other", device)):
        groups, loading = partition([toy], [split]), LoadingPolicy(8, 120.0, 1.0, 0)
        store = sum_groups(states, [toy], groups, Targets(), inputs, tmp_path / name, loading, place)
        rule = Ridge(1, encoder.width, store.count.shape[1], [1.0, 100.0])
        last = str(layers[-1])
        scores.append(fit_divisions(store, last, [Division.of(split, store)], rule, place)[0][1])
    for name in ("n_frames", "r", "rmse"):
        assert_near(getattr(scores[1], name), getattr(scores[0], name), 2e-3)


@pytest.mark.parametrize("name", [*SMALL, "weighted"])
def test_a_bank_learns_what_it_learns_on_the_cpu(careless: None, device: torch.device, name: str):
    _, states, mask = utterances([11, 7])
    target = random(2, 11, HEAD_CHANNELS)
    heads = []
    for place in (torch.device("cpu"), device):
        head = bank(name).to(place)
        head.standardise([(states.to(place), mask.to(place)[..., None].expand(-1, -1, HEAD_CHANNELS))])
        fit_bank(head, states.to(place), target.to(place), mask.to(place), steps=5)
        heads.append(head)
    for key, value in heads[0].state_dict().items():
        assert_near(heads[1].state_dict()[key], value, 1e-6)


def test_inversion_is_that_of_the_cpu_in_one_piece_and_in_several(device: torch.device, tmp_path: Path):
    encoder = untrained(**SMALL_MODEL)
    about = about_of(encoder)
    about["encoder"]["settings"] = {"_target_": "tractprobe.encoders.untrained.untrained", **SMALL_MODEL}
    write_head(tmp_path / "f.safetensors", random_ridge(48), about)
    wave = noise(6)
    for chunk_s in (30.0, 2.0):
        expected, found = (load_head(tmp_path / "f.safetensors", place, chunk_s=chunk_s)(wave, RATE_HZ)
                           for place in ("cpu", device))  # fmt: skip
        assert_near(found.values, expected.values, 1e-3)


@pytest.fixture
def accelerators(device: torch.device) -> Iterator[tuple[str, str]]:
    yield "cpu", "gpu" if device.type == "cuda" else "cpu"


@pytest.mark.parametrize(
    "settings",
    [
        ["held_out=all"],
        ["held_out=it", "features.cache=false"],
        ["held_out=it", "head=mlp", "head.hidden=16"],
        ["held_out=it", "head=mlp", "head.hidden=16", "features.cache=false"],
        ["held_out=it", "head=weighted"],
        ["held_out=all", "together=true", "head=mlp", "head.hidden=16"],
    ],
)
def test_a_run_reaches_what_it_reaches_on_the_cpu(
    configure: Callable[..., Any], accelerators: tuple[str, str], tmp_path: Path, settings: list[str]
):
    model = ["model=random", "model.layers=1", "model.width=48", "model.channels=16", "data.batch_size=4"]
    results = []
    for number, accelerator in enumerate(accelerators):
        paths = [f"paths.runs={tmp_path / str(number)}", f"paths.cache={tmp_path / f'cache{number}'}"]
        trainer = [f"trainer.accelerator={accelerator}", "trainer.max_epochs=2"]
        done = train(configure(*settings, *model, *trainer, *paths))
        results.append(done if isinstance(done, list) else [done])
    for one, other in zip(*results, strict=True):
        assert [row["n_frames"] for row in one["scores"]] == [row["n_frames"] for row in other["scores"]]
        assert_near([row["r"] for row in other["scores"]], [row["r"] for row in one["scores"]], 1e-2)
