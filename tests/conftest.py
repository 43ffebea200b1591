"""A small world with a known truth, and the ways into the real one."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import soundfile
import torch
from head_files import about_of, random_ridge
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from warm import Warm

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.encoders.mel import LogMel
from tractprobe.inversion.head_file import write_head
from tractprobe.runs.configuration import conf_dir
from tractprobe.runs.hydra import register_resolvers
from tractprobe.signals.channels import CHANNELS

REPOSITORY = Path(__file__).parents[1]
SPEECH = REPOSITORY / "tests/speech"
"""Simulated speech, whatever the built-in corpora are: 51 utterances of the one of 2026-11-23, in the plain layout."""
DEMO = "virtual_demo"
"""The built-in corpus that tests use."""
CARRIERS_HZ = (300.0, 900.0, 1800.0, 3200.0, 5000.0)

os.environ["WANDB_MODE"] = "offline"
os.environ["HF_HUB_OFFLINE"] = "1"
# Sums depend on the number of threads in their last bits: the same for processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
hypothesis.settings.register_profile("slow machine", deadline=None)
hypothesis.settings.load_profile("slow machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a GPU where there is none; skip it, with the reason, where it was asked for."""
    if torch.cuda.is_available() or "TRACTPROBE_GPU_TESTS_ON" in os.environ:
        return
    without = [item for item in items if item.get_closest_marker("gpu")]
    if "gpu" in config.option.markexpr:
        for item in without:
            item.add_marker(pytest.mark.skip(reason="needs a GPU; torch.cuda.is_available() is false"))
    elif without:
        items[:] = [item for item in items if item not in set(without)]
        config.hook.pytest_deselected(items=without)


def real(variable: str, *parts: str) -> Path:
    """Return a folder of real recordings or weights, or skip where there is none."""
    root = os.environ.get(variable)
    if not root:
        pytest.skip(f"{variable} is not set")
    return Path(root, *parts)


def write_utterance(
    root: Path, id_: str, *, speaker: str, language: str, text: str, seed: int, duration_s: float = 1.2
) -> None:
    """Write an utterance whose movements are a linear function of its log spectrum.

    Five slow courses z(t) set the log amplitudes of five tones; each channel is a mix of them that is the same for
    every speaker and language, but for the speaker's own origin and size.
    """
    random = np.random.default_rng(seed)
    rate_hz, ema_rate_hz = 16000, 100
    parameters = random.uniform(0, 1, (len(CARRIERS_HZ), 3, 2))

    def courses(times_s: np.ndarray) -> np.ndarray:
        speeds_hz, phases = 0.5 + 3 * parameters[..., 0], 2 * np.pi * parameters[..., 1]
        return np.cos(2 * np.pi * speeds_hz[..., None] * times_s + phases[..., None]).sum(axis=1) / 2

    times_s = np.arange(int(duration_s * rate_hz)) / rate_hz
    tones = np.sin(2 * np.pi * np.array(CARRIERS_HZ)[:, None] * times_s + random.uniform(0, 6, (5, 1)))
    audio = 0.01 * (np.exp(courses(times_s)) * tones).sum(axis=0)
    mix = np.random.default_rng(1234).normal(size=(len(CARRIERS_HZ), len(CHANNELS)))
    size, origin = 1 + 0.2 * (sum(map(ord, speaker)) % 5), 10.0 * (sum(map(ord, speaker)) % 7)
    positions = origin + 3 * size * courses(np.arange(int(duration_s * ema_rate_hz)) / ema_rate_hz).T @ mix
    root.mkdir(parents=True, exist_ok=True)
    soundfile.write(root / f"{id_}.flac", audio, rate_hz)
    np.save(root / f"{id_}.ema.npy", positions.astype(np.float32))
    fields = {
        "speaker": speaker, "language": language, "text": text, "ema_rate_hz": ema_rate_hz, "ema_unit": "mm",
        "ema_channels": list(CHANNELS), "phones": [["a", 0.1, 0.5], ["m", 0.5, 0.9]],
    }  # fmt: skip
    (root / f"{id_}.json").write_text(json.dumps(fields), encoding="utf-8")


def write_corpus(
    root: Path, languages: Sequence[str] = ("en", "it", "de"), speakers: int = 3, sentences: int = 4, seed: int = 0
) -> Path:
    """Write a corpus in which every speaker says every sentence of every language."""
    for index, language in enumerate(languages):
        for speaker in range(speakers):
            for sentence in range(sentences):
                number = seed + 10_000 * index + 100 * speaker + sentence
                name = f"s{speaker}_{language}_{sentence}"
                text = f"{language} sentence {sentence}"
                write_utterance(root, name, speaker=f"s{speaker}", language=language, text=text, seed=number)
    return root


@pytest.fixture(scope="session")
def raw_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("raw") / "toy")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, raw_corpus: Path) -> Path:
    """A folder of prepared corpora that holds `toy`; tests do not write there."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(Folder("toy", raw_corpus), folder)
    return folder


@pytest.fixture(scope="session")
def toy(data: Path) -> PreparedCorpus:
    return PreparedCorpus(data / "toy")


@pytest.fixture
def configure(data: Path, tmp_path: Path) -> Callable[..., Any]:
    """Compose the training configuration on the toy corpus, log-mel if no model is given, in the test's own folder."""

    def make(*overrides: str, name: str = "train") -> Any:
        register_resolvers()
        GlobalHydra.instance().clear()
        paths = [f"paths.data={data}", f"paths.runs={tmp_path / 'runs'}", f"paths.cache={tmp_path / 'cache'}"]
        model = [] if any(override.startswith("model=") for override in overrides) else ["model=mel"]
        own = [*model, "corpora=[toy]", "tracking=off"] if name == "train" else []
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose(name, overrides=[*own, *paths, *overrides])

    return make


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Starts processes that have imported everything."""
    server = Warm()
    yield server
    server.close()


@pytest.fixture
def mel() -> LogMel:
    return LogMel(bands=20, context=2)


@pytest.fixture
def head(tmp_path: Path, mel: LogMel) -> Path:
    write_head(tmp_path / "f.safetensors", random_ridge(100), about_of(mel))
    return tmp_path / "f.safetensors"
