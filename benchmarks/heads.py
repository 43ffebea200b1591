"""python benchmarks/heads.py [heads ...]: a bank of heads on every layer against one head on one layer.

An epoch is forward, loss, backward and optimizer step on batches of random float16 features that are in memory, with
the settings of conf/head. Heads take turns, bank and single, so that both see the same load of the machine; the
shortest of the epochs counts. Rates are frames per second, and for a bank also frames x layers.
"""

import argparse
import time
from typing import Any

import torch
from omegaconf import OmegaConf

from tractprobe.probes.gradient.objective import masked_mse
from tractprobe.runs.building import build
from tractprobe.runs.configuration import conf_dir

CHANNELS = 12


def batches(layers: int, width: int, number: int, size: int, frames: int) -> list[tuple[torch.Tensor, ...]]:
    """Return (states, target, valid, present); the utterances of a batch are 100 down to 70 % of its length."""
    made = []
    present = torch.arange(frames) < torch.linspace(frames, 0.7 * frames, size).long()[:, None]
    for _ in range(number):
        states = torch.randn(layers, size, frames, width).half() * present[..., None]
        target = torch.randn(size, frames, CHANNELS)
        made.append((states, target, present[..., None].expand_as(target), present))
    return made


def epoch(head: Any, optimizer: torch.optim.Optimizer, data: list[tuple[torch.Tensor, ...]]) -> float:
    """Return the seconds of one epoch."""
    began = time.perf_counter()
    for states, target, valid, present in data:
        losses = masked_mse(head(states, present), target, valid)
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
    if states.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def measured(name: str, layers: int, data: list[tuple[torch.Tensor, ...]], epochs: int) -> tuple[float, float]:
    """Return the seconds of an epoch of a bank on all layers and of one head on the first."""
    settings = OmegaConf.load(conf_dir() / "head" / f"{name}.yaml")
    settings["seed"] = 0
    node: Any = OmegaConf.to_container(settings)
    width, device = data[0][0].shape[-1], data[0][0].device
    runs = []
    for count in (layers, 1):
        head = build(node, num_layers=count, width=width, num_channels=CHANNELS).to(device)
        seen = [(states[:count].contiguous(), *rest) for states, *rest in data]
        runs.append((head, torch.optim.AdamW(head.parameters(), lr=1e-3), seen))
    for run in runs:
        epoch(*run[:2], run[2][:1])
    seconds = [[epoch(*run) for run in runs] for _ in range(epochs)]
    bank_s, one_s = (min(column) for column in zip(*seconds, strict=True))
    return bank_s, one_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", nargs="*", default=["mlp"])
    parser.add_argument("--layers", type=int, default=13)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=8, help="utterances")
    parser.add_argument("--frames", type=int, default=200, help="of the longest utterance of a batch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    made = batches(arguments.layers, arguments.width, arguments.batches, arguments.batch_size, arguments.frames)
    data = [tuple(one.to(arguments.device) for one in batch) for batch in made]
    frames = sum(int(present.sum()) for *_, present in data)
    print(f"{arguments.layers} x {arguments.width}, {frames} frames, {arguments.threads} threads, {arguments.device}")
    for name in arguments.heads:
        bank_s, one_s = measured(name, arguments.layers, data, arguments.epochs)
        rates = f"bank {frames / bank_s:,.0f} ({arguments.layers * frames / bank_s:,.0f} x layers)"
        print(f"{name:<12} bank {bank_s:7.3f} s  one {one_s:7.3f} s  ratio {bank_s / one_s:5.2f}", end="  ")
        print(f"frames/s: {rates}, one {frames / one_s:,.0f}", flush=True)


if __name__ == "__main__":
    main()
