"""The folder of interventions: utterances by several processes, then all their changes in three files."""

import io
import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from vocaltract import languages, speakers
from vocaltract.corpus import folder, jobs, manners
from vocaltract.corpus.folder import Made
from vocaltract.corpus.jobs import Summary
from vocaltract.corpus.plan import Task
from vocaltract.corpus.utterance import Keep
from vocaltract.errors import UtterancesMissingError, VocalTractError
from vocaltract.interventions import design, render
from vocaltract.interventions.render import PLAIN, Changed
from vocaltract.spoken import written
from vocaltract.states import STATE_HZ
from vocaltract.synthesis.recorded import RECORDED_HZ

SPEAKERS, LANGUAGES = ("m1", "m2", "f1", "c1"), ("en", "it", "zh", "fi")
SENTENCES = 1
"""Of each speaker in each language; each speaker has other sentences."""
RESOLUTION_MM = 0.001
PARTS = ".parts"
PAIRS, CONTROLS, AUDIO, EMA = "pairs.jsonl", "controls.jsonl", "changes.flac", "changes.ema.npy"
SECONDS = 60.0
"""Of processor time, about, for an utterance and its changes; tells how long is left."""


def write(
    root: Path,
    seed: int = 0,
    workers: int = 2,
    *,
    of_speakers: tuple[str, ...] = SPEAKERS,
    of_languages: tuple[str, ...] = LANGUAGES,
    sentences: int = SENTENCES,
    anew: bool = False,
) -> Summary:
    """Make the folder; a second call makes what is not there yet.

    Parameters
    ----------
    sentences
        Of each speaker in each language.
    anew
        Whether to remove what the folder holds from other settings.

    Raises
    ------
    VocalTractError
        If the folder holds something else, or a change cannot be made: the message names the utterance.
    """
    tasks = planned(seed, of_speakers, of_languages, sentences)
    command = f"python -m vocaltract interventions --seed {seed}"
    engine = partial(made, root / PARTS)
    try:
        summary = jobs.make_corpus(
            root, tasks, workers=workers, anew=anew, command=command, engine=engine, also="interventions"
        )
    except UtterancesMissingError:
        together(root, _whole(root, tasks))
        raise
    together(root, _whole(root, tasks))
    return summary


def _whole(root: Path, tasks: list[Task]) -> list[str]:
    return sorted(task.id for task in tasks if folder.is_whole(root, task))


def planned(seed: int, of_speakers: tuple[str, ...], of_languages: tuple[str, ...], sentences: int) -> list[Task]:
    """Plan base utterances, sorted by speaker: sentences that the corpus does not have, others for each speaker."""
    tasks = []
    for row, speaker in enumerate(of_speakers):
        for language in of_languages:
            said = [s for s in languages.texts(language) if s.set == "interventions"]
            if sentences * len(of_speakers) > len(said):
                raise VocalTractError(f"{language} has only {len(said)} sentences for {len(of_speakers)} speakers.")
            own = said[row * sentences : (row + 1) * sentences]
            tasks += [_task(seed, speaker, language, sentence) for sentence in own]
    return tasks


def _task(seed: int, speaker: str, language: str, sentence: languages.Sentence) -> Task:
    name = f"{speaker}_{language}_{sentence.number:03d}"
    own = manners.seed_of(seed, f"interventions/{name}")
    what = (sentence.number, sentence.text, sentence.spoken)
    return Task(name, "", speaker, language, "speech", *what, SECONDS, PLAIN, own)


def made(parts: Path, task: Task, keep: Keep) -> Made:
    """Make one base utterance and its changes, which are kept in a file of ``parts``."""
    speaker = speakers.load(task.speaker)
    of = render.base(speaker, languages.speak(task.spoken, task.language), task.seed)
    others = tuple(name for name in speakers.SPEAKERS if name != task.speaker)
    drawn = design.drawn(of.movement, speaker, others, task.seed)
    # Another tract last: a process that changes its speaker loses memory each time.
    order = sorted(range(len(drawn)), key=lambda k: drawn[k].kind == "anatomy")
    found = {k: render.changed(of, drawn[k]) for k in order}
    parts.mkdir(parents=True, exist_ok=True)
    _keep(parts / f"{task.id}.npz", task.id, [found[k] for k in range(len(drawn))])
    phones = tuple((phone.ipa, phone.start_s, phone.end_s) for phone in of.movement.spoken.phones)
    frames = min(len(of.ema), -(-len(of.sound) * folder.EMA_HZ // RECORDED_HZ))
    return Made(of.sound, of.ema[:frames], of.f0_hz[:frames], phones)


def together(root: Path, names: list[str]) -> None:
    """Write the changes of all utterances, if there are any, into the files that they share."""
    if not names:
        return
    lines: dict[str, list[str]] = {PAIRS: [], CONTROLS: []}
    audio, ema = list[np.ndarray](), list[np.ndarray]()
    samples = rows = 0
    for line, pcm, steps in _changes(root / PARTS, names):
        line |= {"audio_offset": samples, "ema_offset": rows}
        lines[CONTROLS if line["kind"] == "noise" else PAIRS].append(json.dumps(line, ensure_ascii=False))
        audio.append(pcm)
        ema.append(steps)
        samples, rows = samples + len(pcm), rows + len(steps)
    flac = io.BytesIO()
    soundfile.write(flac, np.concatenate(audio), RECORDED_HZ, format="FLAC", subtype="PCM_16")
    _replace(root / AUDIO, flac.getvalue())
    _replace(root / EMA, folder.npy(np.concatenate(ema)))
    for name, of_file in lines.items():
        _replace(root / name, "".join(f"{line}\n" for line in of_file).encode())


def _keep(path: Path, base: str, found: list[Changed]) -> None:
    """Write the changes of one utterance: their lines, their sound and their movement."""
    lines = [_line(base, number, each) for number, each in enumerate(found)]
    file = io.BytesIO()
    np.savez(
        file,
        lines=np.frombuffer(json.dumps(lines).encode(), dtype=np.uint8),
        audio=np.concatenate([each.pcm for each in found]),
        ema=np.concatenate([_steps(each.ema) for each in found]),
    )
    _replace(path, file.getvalue())


def _line(base: str, number: int, each: Changed) -> dict[str, object]:
    change = each.change
    return {
        "id": f"{base}_p{number:03d}",
        "base": base,
        "kind": change.kind,
        "moved": change.moved,
        "direction": change.direction,
        "amount": change.amount,
        "unit": change.unit,
        "window_s": [round(edge / STATE_HZ, 6) for edge in (change.first, change.last)],
        "phone": written(change.phone),
        "phone_kind": change.phone_kind,
        "audio_start": each.audio_start,
        "audio_samples": len(each.pcm),
        "ema_start": each.ema_start,
        "ema_rows": len(each.ema),
        "seed": change.seed,
        "repeat_noise": each.repeat_noise,
    }


def _steps(ema: np.ndarray) -> np.ndarray:
    steps = np.round(ema / RESOLUTION_MM)
    if steps.size and np.abs(steps).max() > np.iinfo(np.int16).max:
        raise VocalTractError(f"A change of {np.abs(ema).max():.1f} mm does not fit 16 bits.")
    return steps.astype("<i2")


def _changes(parts: Path, names: list[str]) -> Iterator[tuple[dict[str, object], np.ndarray, np.ndarray]]:
    """Each change's line, sound and movement, utterance by utterance."""
    for name in names:
        with np.load(parts / f"{name}.npz", allow_pickle=False) as kept:
            audio, ema, lines = kept["audio"], kept["ema"], json.loads(kept["lines"].tobytes())
        samples = rows = 0
        for line in lines:
            stop, end = samples + line["audio_samples"], rows + line["ema_rows"]
            yield line, audio[samples:stop], ema[rows:end]
            samples, rows = stop, end


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
