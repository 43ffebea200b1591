"""Many utterances by several processes: resumable, and the same whatever their number."""

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from vocaltract.corpus import folder, settings, utterance
from vocaltract.corpus.folder import Made
from vocaltract.corpus.plan import Task
from vocaltract.corpus.utterance import Keep
from vocaltract.errors import UtterancesMissingError, VocalTractError

Engine = Callable[[Task, Keep], Made]
ALL = Keep()
BAR = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left{postfix}"


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes
    ----------
    made, kept
        Utterances made now, and those that were there already.
    minutes
        Of audio made now.
    seconds
        That it took.
    """

    made: int
    kept: int
    minutes: float
    seconds: float


def make_corpus(
    root: Path,
    tasks: Sequence[Task],
    *,
    keep: Keep = ALL,
    workers: int = 2,
    anew: bool = False,
    command: str = "",
    engine: Engine = utterance.make,
    also: str = "",
) -> Summary:
    """Make what is not there yet, then write what the folder's utterances share.

    Parameters
    ----------
    tasks
        Sorted by speaker: a process can have one speaker at a time, and each change costs it memory.
    anew
        Remove what was made with other settings instead of refusing to go on.
    engine
        Makes one utterance; must be importable by the workers.
    also
        Part of the program that the engine needs beside ``utterance.make``'s (``settings.program_hash``).

    Raises
    ------
    UtterancesMissingError
        If some utterances cannot be made. The folder is complete but for them, and its manifest leaves them out.
    VocalTractError
        If the folder holds another corpus, or a worker was killed. What is whole is kept.
    KeyboardInterrupt
        After the utterances in progress are written.
    """
    if workers < 1:
        raise VocalTractError(f"--workers {workers}: at least one")
    plan_hash = settings.settings_hash(tasks, keep, also)
    settings.claim(root, plan_hash, command, anew=anew, also=also)
    missing = [task for task in tasks if not folder.is_whole(root, task)]
    started = time.monotonic()
    failed: list[str] = []
    made_s = _in_processes(root, missing, keep, min(workers, max(1, len(missing))), engine, len(tasks), failed)
    if whole := [task for task in tasks if folder.is_whole(root, task)]:
        made_by = folder.Origin(settings.generator(), plan_hash, settings.program_hash(also))
        folder.finish(root, whole, made_by, with_palates=keep.movement)
    if failed:
        others = f"; {len(failed) - 1} others as well" if len(failed) > 1 else ""
        raise UtterancesMissingError(f"{failed[0]}{others}. The corpus is complete without")
    return Summary(len(missing), len(tasks) - len(missing), made_s / 60, time.monotonic() - started)


def _in_processes(
    root: Path, missing: Sequence[Task], keep: Keep, workers: int, engine: Engine, whole: int, failed: list[str]
) -> float:
    """Make the tasks, noting those that ``failed``; returns seconds of audio.

    The bar counts estimated seconds, so that its ETA allows for length.
    """
    if not missing:
        return 0.0
    made_s, waiting, running = 0.0, list(reversed(missing)), dict[Future[float], Task]()
    context = multiprocessing.get_context("spawn")
    bar = tqdm(total=math.fsum(task.seconds for task in missing) + 1e-6, unit="s", desc="corpus", bar_format=BAR)
    with bar, ProcessPoolExecutor(workers, context, initializer=_prepare) as pool:
        try:
            while waiting or running:
                # Few are submitted at a time: after Ctrl-C, whatever a worker has got is waited for.
                while waiting and len(running) <= workers:
                    task = waiting.pop()
                    running[pool.submit(_make_and_write, engine, root, task, keep)] = task
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    made_s += _seconds(future, running, failed)
                    bar.set_postfix_str(
                        f"{made_s / 60:.1f} min made, {whole - len(waiting) - len(running) + 1}/{whole}"
                    )
                    bar.update(running.pop(future).seconds)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would leave a worker behind, half-way through
            pool.shutdown(wait=False, cancel_futures=True)
            bar.write("Interrupted: finishing what is in progress; the same command makes the rest.", sys.stderr)
            raise
    return made_s


def _seconds(future: Future[float], running: dict[Future[float], Task], failed: list[str]) -> float:
    """Seconds of audio made; an utterance that cannot be made is noted, and the rest is made nonetheless."""
    try:
        return future.result()
    except BrokenProcessPool:
        names = ", ".join(task.id for task in running.values())
        raise VocalTractError(
            f"a worker was killed (memory, or from outside) while making one of {names}; "
            "the same command makes the rest"
        ) from None
    except VocalTractError as error:
        failed.append(f"{running[future].id}: {error}")
        tqdm.write(f"{failed[-1]}", sys.stderr)
        return 0.0


def _make_and_write(engine: Engine, root: Path, task: Task, keep: Keep) -> float:
    return folder.write(root, task, engine(task, keep))


def _prepare() -> None:
    """Set up a worker: deaf to Ctrl-C, which reaches all processes of a terminal, and to end with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
