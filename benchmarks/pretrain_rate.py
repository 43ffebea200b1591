"""python benchmarks/pretrain_rate.py [overrides ...]: updates per second of pretraining, in float32 and bfloat16.

An update is what training makes of a batch of noise: forward, loss, backward, clipping and AdamW, with the model, batch
and crops of conf/pretrain.yaml. Precisions take turns, so that both see the same load of the machine; the fastest of
the rounds counts. How long a batch takes to be prepared is measured on noise, too, with every effect at its share.
"""

import sys
import time
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from tractprobe.encoders.untrained import described
from tractprobe.pretraining.augmentation import changed, drawn_effects, resampled
from tractprobe.pretraining.counters import random_of
from tractprobe.pretraining.crops import masks
from tractprobe.pretraining.frames import HOP, WINDOW
from tractprobe.pretraining.model import LossWeights, MaskedPrediction, drawn_hubert, outcome
from tractprobe.pretraining.optimiser import Optimiser
from tractprobe.pretraining.precision import has_bf16
from tractprobe.pretraining.settings import Asked
from tractprobe.runs.configuration import conf_dir, plain
from tractprobe.runs.hydra import register_resolvers

ROUNDS, UPDATES = 3, 3


def main() -> None:
    register_resolvers()
    from tractprobe.commands import pretrain

    assert pretrain  # its resolver is registered
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        asked = Asked.of(plain(compose("pretrain", overrides=sys.argv[1:])))
    recipe, device = asked.pretrain, "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    hubert = drawn_hubert(described(asked.model.arguments["architecture"], "model"), 0)
    model = MaskedPrediction(hubert, recipe.targets.clusters, 0).to(device).train()
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    rate, decay = recipe.learning_rate, recipe.weight_decay
    optimisers = {name: Optimiser(model, recipe.optimiser, rate, decay, dtype) for name, dtype in dtypes.items()}
    samples = round(recipe.crop_s * 16000)
    frames = (samples - WINDOW) // HOP + 1
    waves = torch.randn(recipe.batch, samples, device=device)
    labels = torch.randint(recipe.targets.clusters, (recipe.batch, frames), device=device)
    mask = torch.from_numpy(masks(recipe, frames, 0)).to(device)
    seconds: dict[str, float] = {}
    for precision in ["float32", "bfloat16"] * ROUNDS:
        begun = time.perf_counter()
        for _ in range(UPDATES):
            update(model, optimisers[precision], (waves, labels, mask), recipe.clip, precision == "bfloat16")
        if device == "cuda":
            torch.cuda.synchronize()
        own_s = (time.perf_counter() - begun) / UPDATES
        seconds[precision] = min(own_s, seconds.get(precision, own_s))
    heard_s = recipe.batch * recipe.crop_s
    size = sum(own.numel() for own in hubert.parameters())
    print(f"{size / 1e6:.2f} million weights, {recipe.batch} x {recipe.crop_s} s")
    print(f"{device}, {torch.get_num_threads()} threads")
    print(f"bfloat16 in hardware: {has_bf16('gpu' if device == 'cuda' else 'cpu')}")
    for precision, own_s in seconds.items():
        speed = heard_s / own_s
        print(f"{precision}: {1 / own_s:.2f} updates/s, {speed:.1f} x real time")
    prepared_s = preparing_s(recipe, samples)
    print(f"preparing a batch: {1000 * prepared_s:.0f} ms, {heard_s / prepared_s:.0f} x real time in one process")


def update(model: MaskedPrediction, optimizer: Any, batch: tuple[torch.Tensor, ...], clip: float, half: bool) -> None:
    waves, labels, mask = batch
    with torch.autocast(waves.device.type, torch.bfloat16, enabled=half):
        logits = model(waves, mask)
    outcome(logits, labels, mask, LossWeights()).loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad()


def preparing_s(recipe: Any, samples: int) -> float:
    """Return the seconds in which a batch is augmented."""
    noise = np.random.default_rng(0).standard_normal(2 * samples).astype(np.float32)
    begun, rounds = time.perf_counter(), 20
    for number in range(rounds):
        for row in range(recipe.batch):
            random = random_of(0, number, row)
            drawn = drawn_effects(recipe.augmentation, random)
            changed(
                resampled(noise[: int(samples * drawn.speed) + 1], drawn.speed, samples), drawn, random, noise[:samples]
            )
    return (time.perf_counter() - begun) / rounds


if __name__ == "__main__":
    main()
