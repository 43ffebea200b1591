"""What happens between updates: checkpoints, curves, scores of articulation, the clock, and how long the rest takes."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from tractprobe.pretraining.checkpoints import LAST, STABLE
from tractprobe.pretraining.learning import Learning
from tractprobe.system.errors import optional
from tractprobe.system.files import atomic
from tractprobe.system.progress import time_left
from tractprobe.system.stopping import Stopped

log = logging.getLogger(__name__)

ARTICULATION = "articulation.jsonl"
_SAID_S = 60.0  # between two lines of progress, where there is no terminal

ScoreRows = Sequence[Mapping[str, Any]]
Score = Callable[[Path], ScoreRows]
"""Reads articulation from an encoder's folder; rows have ``layer``, ``held_out`` and ``r``."""


class Keeping(pl.Callback):
    """Writes a checkpoint every so many seconds, before the cooldown, at the end, and when a signal ends it earlier."""

    def __init__(self, save: Callable[[Learning, str], None], every_s: float):
        self._save, self._every_s, self._saved_s = save, every_s, time.monotonic()
        self._saved = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Keep the checkpoint before the cooldown where it begins with this stretch of training."""
        self._saved = pl_module.update
        if pl_module.schedule.cooldown and pl_module.update == pl_module.schedule.updates:
            self._save(pl_module, STABLE)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        schedule = pl_module.schedule
        if schedule.cooldown and pl_module.update == schedule.updates:
            self._save(pl_module, STABLE)
        if time.monotonic() - self._saved_s >= self._every_s:
            self._save(pl_module, LAST)
            self._saved, self._saved_s = pl_module.update, time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._save(pl_module, LAST)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt | Stopped) and pl_module.is_whole and pl_module.update > self._saved:
            self._save(pl_module, LAST)
            log.info("stopped and kept at update %d of %d", pl_module.update, pl_module.schedule.total)


class Clock(pl.Callback):
    """Ends training after so many minutes, with the update under way; ``spent_s`` on other things is no part."""

    def __init__(self, minutes: float | None, spent_s: Callable[[], float] = lambda: 0.0):
        self._minutes, self._spent_s, self._began_s = minutes, spent_s, time.monotonic()

    @property
    def left_s(self) -> float:
        """Seconds of training that are left; infinity if there is no limit."""
        if self._minutes is None:
            return float("inf")
        return 60 * self._minutes - (time.monotonic() - self._began_s - self._spent_s())

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.left_s <= 0:
            trainer.should_stop = True


class Curves(pl.Callback):
    """Logs losses, accuracies, learning rate and speed, and says how far training is."""

    def __init__(self, every: int, seconds_per_update: float, clock: Clock):
        self._every, self._heard_s, self._clock = every, seconds_per_update, clock
        self._began_s = self._said_s = self._logged_s = 0.0
        self._first = self._logged = 0
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._began_s = self._said_s = self._logged_s = time.monotonic()
        self._first = self._logged = pl_module.update
        shown = {"total": pl_module.schedule.total, "initial": pl_module.update, "unit": " update"}
        self._bar = tqdm(desc="pretraining", leave=False, disable=None, **shown)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        assert self._bar is not None
        self._bar.update()
        if pl_module.update % self._every:
            return
        metrics, now_s = pl_module.plain_metrics(), time.monotonic()
        speed = (pl_module.update - self._logged) * self._heard_s / max(now_s - self._logged_s, 1e-9)
        self._logged, self._logged_s = pl_module.update, now_s
        rate = pl_module.schedule.rate(pl_module.update - 1)
        named = {f"pretrain/{name}": value for name, value in metrics.items()}
        for logger in trainer.loggers:
            logger.log_metrics(
                named | {"pretrain/learning_rate": rate, "pretrain/x_real_time": speed}, step=pl_module.update
            )
            logger.save()
        self._bar.set_postfix_str(f"loss {metrics['loss']:.2f}, {speed:.0f} x real time", refresh=False)
        if self._bar.disable and now_s - self._said_s >= _SAID_S:
            self._say(pl_module, metrics, now_s)

    def _say(self, learning: Learning, metrics: Mapping[str, float], now_s: float) -> None:
        done, elapsed_s = learning.update - self._first, now_s - self._began_s
        total = learning.schedule.total
        left = time_left(done, total - learning.update, elapsed_s)
        if self._clock.left_s < elapsed_s / done * (total - learning.update):
            left = f"stopping in {max(0.0, self._clock.left_s) / 60:.0f} min"
        log.info(
            "update %d of %d, %s: loss %.3f, masked accuracy %.3f, %.0f x real time",
            learning.update, total, left, metrics["loss"], metrics["masked_accuracy"],
            done * self._heard_s / elapsed_s,
        )  # fmt: skip
        self._said_s = now_s

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Articulation(pl.Callback):
    """Reads articulation from the encoder every so many updates, and keeps the curve of each layer.

    Parameters
    ----------
    export
        Writes the encoder as it is now, and returns its folder.
    file
        Of the curve: a JSON object in each line.
    """

    def __init__(self, score: Score, every: int, export: Callable[[Learning], Path], file: Path):
        self._score, self._every, self._export, self._file = score, every, export, file
        self.spent_s = 0.0
        """Seconds that scores have taken."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        kept = keep_until(self._file, pl_module.update)
        if not kept:
            self._add(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if pl_module.update % self._every == 0:
            self._add(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if pl_module.update % self._every:
            self._add(trainer, pl_module)

    def _add(self, trainer: pl.Trainer, learning: Learning) -> None:
        began_s = time.monotonic()
        log.info("update %d: reading articulation from every layer", learning.update)
        with optional("the score of articulation"):
            rows = self._score(self._export(learning))
            with open(self._file, "a", encoding="utf-8") as file:
                file.writelines(json.dumps({"update": learning.update, **row}) + "\n" for row in rows)
            for logger in trainer.loggers:
                values = {f"articulation/{row['held_out']}/layer{row['layer']}": row["r"] for row in rows}
                logger.log_metrics(values, step=learning.update)
            log.info("update %d, articulation: %s", learning.update, in_words(rows))
        self.spent_s += time.monotonic() - began_s


def keep_until(file: Path, update: int) -> list[dict[str, Any]]:
    """Remove the rows after an update, which is trained from again; return those that are kept."""
    rows = read_articulation(file)
    kept = [row for row in rows if row["update"] <= update]
    if len(kept) < len(rows):
        with atomic(file) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    return kept


def read_articulation(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a curve; a line that was written in part, when a process was killed, is left out."""
    rows = list[dict[str, Any]]()
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("update"), int):
            rows.append(row)
    return rows


def in_words(rows: ScoreRows) -> str:
    """Return the layers' scores for each held-out value.

    >>> in_words([{"held_out": "it", "layer": 0, "r": 0.51}, {"held_out": "it", "layer": 1, "r": None}])
    'it .51 -'
    """
    values: dict[str, list[str]] = {}
    for row in rows:
        shown = "-" if row["r"] is None else f"{row['r']:.2f}".replace("0.", ".", 1)
        values.setdefault(str(row["held_out"]), []).append(shown)
    return "; ".join(f"{held_out} {' '.join(shown)}" for held_out, shown in values.items())
