"""USC-TIMIT, its EMA part: American English, speakers F1, F5, M1, M3, the 460 sentences of MOCHA-TIMIT.

``EMA/Data/<SPK>/mat/usctimit_ema_<spk>_001_005.mat`` is an mview file (``formats.mview``) of FIVE consecutive
sentences; its AUDIO equals the .wav file. Sensors are TT TB TD UL LL JAW in any order at about 100.08 Hz, columns x (to
the front), y (up), z (lateral) in mm, head-corrected. The axes are those of a public project that correlates column 1
of the real files with predicted heights; because no file was available here, each file is checked for an upper lip
above the lower one. The movements may end about 0.1 s before the audio; both start together. A sentence that cannot be
cut out is reported without affecting the others.

``EMA/Data/<SPK>/trans/<same name>.trans`` has rows ``start,end,phone,word,sentence text,sentence number`` in seconds,
without a number in silence. M3's are called ``usctimit_mri_m3_*``: they belong to its MRI session, a different
recording, and are never used. Files without a transcript are cut at silences in the audio if these are unambiguous, and
have no phones. ``list_of_sentences.txt`` in the corpus's folder has lines ``<number> : <text>``. F5's positions jump by
about 12 mm between sentences 065 and 066, between two recordings (blocks a and b) with different coordinates.

Label: ``gender``, by the speaker's name.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.mview import Recording, midsagittal, read_mview, speech_stretches
from tractprobe.corpora.utterance import MAX_OVERHANG_S, Phone, Reader, Utterance, found, naming
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import read_text

SENTENCE_LIST = "list_of_sentences.txt"
MAX_SENTENCES = 20
MAX_PADDING_S = 0.15
MAX_OVERLAP_S = 0.05
MAX_TEMPO_RATIO = 2.5

_FILE_NAME = re.compile(r"usctimit_ema_(?P<speaker>[fm]\d)_(?P<first>\d{3})_(?P<last>\d{3})\.mat")
_LISTED = re.compile(r"\s*([0-9]{1,4})\s*:\s*(\S.*)")
_SENSORS = {"td": "TD", "tb": "TB", "tt": "TT", "li": "JAW", "ul": "UL", "ll": "LL"}
_FRONT = 0
_WITHOUT_TRANSCRIPT = ("m3",)
_LAST_OF_F5A = 65
_BLOCKS = ("a", "b")


@dataclass(frozen=True)
class TranscriptRow:
    """A phone of a transcript, with its sentence; ``sentence`` is None in silence."""

    phone: Phone
    text: str
    sentence: int | None


@dataclass(frozen=True)
class Sentence:
    """The place of a sentence in a recording, and the problem that prevents cutting it out, if any."""

    number: int
    text: str
    start_s: float
    end_s: float
    problem: CorpusError | None = None


@dataclass
class UscTimit(Reader):
    """Reader of the EMA part of USC-TIMIT; ``root`` is the corpus's folder, which may contain the MRI part too.

    Attributes
    ----------
    f5_blocks
        Which recordings of F5 to read: a (sentences 001 to 065), b (066 to 460). Targets are standardised per speaker,
        which fails if one speaker has two systems of coordinates, so only b is read by default. ``[a, b]`` gives two
        speakers, F5a and F5b, but they are one person: a split by speaker may then test on a voice that it fitted on.
    vertical_column
        Column of SIGNAL that points up: 1, or 2 for a copy with the axes of HPRC.
    """

    kept_labels: ClassVar[tuple[str, ...]] = ("gender",)
    root: Path
    name: str = "usc_timit"
    language: str = "en"
    f5_blocks: Sequence[str] = ("b",)
    vertical_column: int = 1

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        self.f5_blocks = tuple(self.f5_blocks)
        if not set(self.f5_blocks) <= set(_BLOCKS):
            expected = "expected blocks out of a (001 to 065) and b (066 to 460)"
            raise ConfigError(f"corpus.f5_blocks={list(self.f5_blocks)}; {expected}")
        if self.vertical_column not in (1, 2):
            expected = "expected 1 or 2, because 0 points to the front"
            raise ConfigError(f"corpus.vertical_column={self.vertical_column}; {expected}")

    def sources(self) -> list[str]:
        names = [(path, _FILE_NAME.fullmatch(path.name)) for path in self.root.rglob("*.mat")]
        paths = [path for path, parsed in names if parsed and self._is_included(parsed)]
        return found(self.root, paths, "recording such as EMA/Data/M1/mat/usctimit_ema_m1_001_005.mat")

    def read(self, source: str) -> list[Utterance | CorpusError]:
        path = self.root / source
        parsed = _FILE_NAME.fullmatch(path.name)
        if parsed is None:
            raise CorpusError(path, "not named as a recording of USC-TIMIT is")
        recording = read_mview(path, _SENSORS.values())
        _check_upright(path, recording, self.vertical_column)
        rows, sentences = self._sentences(path, parsed, recording)
        with naming(path):
            values = midsagittal(recording, _SENSORS, _FRONT, self.vertical_column)

        def utterance(sentence: Sentence, span: tuple[float, float]) -> Utterance | CorpusError:
            if sentence.problem:
                return sentence.problem
            try:
                audio, track = _cut(recording, values, *span)
                return Utterance(
                    id=f"{path.stem}_{sentence.number:03d}",
                    speaker=self._speaker(parsed),
                    language=self.language,
                    text=sentence.text,
                    audio=audio,
                    audio_rate_hz=recording.audio_rate_hz,
                    track=track,
                    phones=_phones(rows, sentence.number, *span),
                    phone_set="arpabet",
                    frame="head",
                    labels={"gender": parsed["speaker"][0]},
                )
            except ValueError as error:
                return CorpusError(path, str(error), place=f"sentence {sentence.number}")

        return list(map(utterance, sentences, _padded(sentences, recording)))

    def _is_included(self, parsed: re.Match[str]) -> bool:
        return parsed["speaker"] != "f5" or _block(parsed) in self.f5_blocks

    def _speaker(self, parsed: re.Match[str]) -> str:
        two = parsed["speaker"] == "f5" and len(set(self.f5_blocks)) == 2
        return parsed["speaker"].upper() + (_block(parsed) if two else "")

    def _sentences(
        self, path: Path, parsed: re.Match[str], recording: Recording
    ) -> tuple[Sequence[TranscriptRow], Sequence[Sentence]]:
        """Return the transcript, if there is one, and the sentences in the order of their times."""
        numbers = range(int(parsed["first"]), int(parsed["last"]) + 1)
        if not 1 <= len(numbers) <= MAX_SENTENCES:
            raise CorpusError(path, f"expected 1 to {MAX_SENTENCES} sentences, not the {len(numbers)} of its name")
        listed = self._listed(path)
        transcript = path.parent.parent / "trans" / f"{path.stem}.trans"
        if parsed["speaker"] not in _WITHOUT_TRANSCRIPT and transcript.exists():
            rows = read_transcript(transcript)
            return rows, _transcribed(transcript, rows, numbers, listed, recording.duration_s)
        texts = self._texts_of_others(parsed) | listed
        return (), _by_silence(path, recording, numbers, texts)

    def _listed(self, path: Path) -> dict[int, str]:
        """Return the listed sentences, from the corpus's folder or one between it and the recording."""
        folders = [folder for folder in path.parents if folder.is_relative_to(self.root)]
        files = [folder / SENTENCE_LIST for folder in folders if (folder / SENTENCE_LIST).exists()]
        matches = [_LISTED.fullmatch(line) for file in files for line in read_text(file, "utf-8-sig").split("\n")]
        return {int(match[1]): _one_line(match[2]) for match in matches if match}

    def _texts_of_others(self, parsed: re.Match[str]) -> dict[int, str]:
        """Return the texts of these sentences in other speakers' transcripts: all speakers read the same 460."""
        texts: dict[int, str] = {}
        for path in sorted(self.root.rglob(f"usctimit_ema_*_{parsed['first']}_{parsed['last']}.trans")):
            if not any(f"_ema_{speaker}_" in path.name for speaker in _WITHOUT_TRANSCRIPT):
                texts = {row.sentence: row.text for row in read_transcript(path) if row.sentence is not None} | texts
        return texts


def read_transcript(path: Path) -> list[TranscriptRow]:
    """Read a .trans file; CorpusError names an invalid line."""
    lines = enumerate(read_text(path).split("\n"), start=1)
    return [_row(path, number, line) for number, line in lines if line.strip()]


def _row(path: Path, number: int, line: str) -> TranscriptRow:
    """Parse ``start,end,phone,word,text,sentence``; the text may itself hold commas."""
    start, end, label, _, *text, sentence = line.split(",") if line.count(",") >= 5 else [""] * 5
    try:
        start_s, end_s = float(start), float(end)
    except ValueError:
        start_s, end_s = math.nan, math.nan
    if not 0 <= start_s <= end_s < math.inf or not re.fullmatch(r"\s*[0-9]{0,4}\s*", sentence):
        raise CorpusError(path, "not start,end,phone,word,sentence text,sentence number", place=f"line {number}")
    phone = Phone(label.strip(), start_s, end_s)
    return TranscriptRow(phone, _one_line(",".join(text).strip(' "')), int(sentence) if sentence.strip() else None)


def _transcribed(
    path: Path, rows: Sequence[TranscriptRow], numbers: range, listed: Mapping[int, str], duration_s: float
) -> list[Sentence]:
    """Return each sentence, from its first phone to its last, with its problem if it has one."""
    sentences: dict[int, Sentence] = {}
    for row in rows:
        if row.sentence is not None:
            old = sentences.get(row.sentence, Sentence(row.sentence, row.text, math.inf, 0))
            start_s, end_s = min(old.start_s, row.phone.start_s), max(old.end_s, row.phone.end_s)
            sentences[row.sentence] = Sentence(
                row.sentence, listed.get(row.sentence, old.text or row.text), start_s, end_s
            )
    if not sentences or not set(sentences) <= {numbers[0] - 1, *numbers, numbers[-1] + 1}:  # some span two files
        raise CorpusError(path, f"contains sentences {sorted(sentences)}, not {numbers[0]} to {numbers[-1]}")
    ordered = sorted(sentences.values(), key=lambda sentence: sentence.start_s)
    problems = [_problem(sentence, ordered, duration_s) for sentence in ordered]
    return [
        replace(sentence, problem=CorpusError(path, problem, place=f"sentence {sentence.number}"))
        if problem
        else sentence
        for sentence, problem in zip(ordered, problems, strict=True)
    ]


def _problem(sentence: Sentence, ordered: Sequence[Sentence], duration_s: float) -> str | None:
    """Return why a sentence cannot be cut out, None if it can; of two that overlap, neither can."""
    for earlier, later in combinations(ordered, 2):
        if sentence in (earlier, later) and later.start_s < earlier.end_s - MAX_OVERLAP_S:
            return f"sentence {later.number} starts before sentence {earlier.number} ends"
    if sentence.start_s >= duration_s:
        return f"starts after the audio's end, {duration_s:.3f} s"
    if sentence.end_s > duration_s + MAX_OVERHANG_S:
        return f"ends at {sentence.end_s:.3f} s, after the audio's end, {duration_s:.3f} s"
    return None if sentence.text else "has no text"


def _by_silence(path: Path, recording: Recording, numbers: range, texts: Mapping[int, str]) -> list[Sentence]:
    """Return one stretch of speech per sentence, if the silences and the tempo are unambiguous."""
    if textless := [number for number in numbers if not texts.get(number)]:
        expected = f"{SENTENCE_LIST}, or another speaker's .trans"
        raise CorpusError(path, f"has no transcript, and sentence {textless[0]} has no text; expected {expected}")
    with naming(path):
        spans = speech_stretches(recording, len(numbers))
    tempi = [(end - start) / len(texts[number]) for number, (start, end) in zip(numbers, spans, strict=True)]
    if max(tempi) > MAX_TEMPO_RATIO * min(tempi):
        raise CorpusError(path, "has no transcript, and the stretches of speech do not match the lengths of the texts")
    return [Sentence(number, texts[number], *span) for number, span in zip(numbers, spans, strict=True)]


def _padded(sentences: Sequence[Sentence], recording: Recording) -> list[tuple[float, float]]:
    """Widen each sentence into the silence on both sides, by at most half of a shared silence, to whole samples."""
    spans, rate_hz = [], recording.audio_rate_hz
    for index, sentence in enumerate(sentences):
        earliest = (max(before.end_s for before in sentences[:index]) + sentence.start_s) / 2 if index else 0.0
        latest = (sentence.end_s + sentences[index + 1].start_s) / 2 if index + 1 < len(sentences) else math.inf
        latest = min(latest, recording.duration_s)
        span = max(sentence.start_s - MAX_PADDING_S, earliest), min(sentence.end_s + MAX_PADDING_S, latest)
        spans.append((round(span[0] * rate_hz) / rate_hz, round(span[1] * rate_hz) / rate_hz))
    return spans


def _cut(
    recording: Recording, values: Float[np.ndarray, "time channel"], start_s: float, end_s: float
) -> tuple[Float[np.ndarray, " sample"], Track]:
    """Return the audio from start to end, and the movements measured in that time, at their own times."""
    rate_hz = recording.ema_rate_hz
    first, last = round(start_s * recording.audio_rate_hz), round(end_s * recording.audio_rate_hz)
    first_frame, last_frame = math.ceil(start_s * rate_hz), math.ceil(end_s * rate_hz)
    track = Track(values[first_frame:last_frame], rate_hz, start_s=first_frame / rate_hz - start_s)
    return recording.audio[first:last], track


def _phones(rows: Sequence[TranscriptRow], sentence: int, start_s: float, end_s: float) -> tuple[Phone, ...]:
    """Return the phones of a sentence's stretch, silence included, in seconds from its start."""
    inside = [row.phone for row in rows if row.sentence in (None, sentence) and row.phone.label]
    clipped = [
        Phone(phone.label, max(phone.start_s - start_s, 0.0), min(phone.end_s, end_s) - start_s)
        for phone in sorted(inside, key=lambda phone: phone.start_s)
        if phone.end_s > start_s and phone.start_s < end_s
    ]
    return tuple(clipped)


def _check_upright(path: Path, recording: Recording, up: int) -> None:
    """Refuse axes in a different order: the upper lip is above the lower one, not beside it."""
    upper, lower = recording.sensors["UL"], recording.sensors["LL"]
    frames = min(len(upper), len(lower))
    apart = upper[:frames, :3] - lower[:frames, :3]
    apart = apart[np.isfinite(apart).all(axis=1)]
    lateral = 3 - up
    if len(apart) and apart[:, up].mean() <= abs(apart[:, lateral].mean()):
        above_mm, beside_mm = apart[:, up].mean(), apart[:, lateral].mean()
        problem = f"UL is {above_mm:.1f} mm above LL by column {up}, {beside_mm:.1f} mm beside it by column {lateral}"
        raise CorpusError(path, f"{problem}; if these axes are swapped, give corpus.vertical_column={lateral}")


def _block(parsed: re.Match[str]) -> str:
    return "a" if int(parsed["first"]) <= _LAST_OF_F5A else "b"


def _one_line(text: str) -> str:
    return " ".join(text.split())
