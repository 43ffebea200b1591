"""espeak-ng through ctypes: which phones a text has in a language, and when."""

import ctypes
import functools
import os
from dataclasses import dataclass

import espeakng_loader
import numpy as np

from vocaltract.errors import VocalTractError

SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: events and samples come by callback, before the call returns
PHONEME_EVENTS = 0x0001
DO_NOT_EXIT = 0x8000
CHARACTERS_UTF8 = 1
RATE_PARAMETER, PITCH_PARAMETER, RANGE_PARAMETER = 1, 3, 4
CONSTANT_F0_HZ = 200
END_OF_LIST, WORD, SENTENCE, PHONEME = 0, 1, 2, 7
STRESS_MARKS = {"''": 2, "'!": 2, "'": 2, ",,": 1, ",": 1, "%%": 0, "%": 0, "=": 0}


@dataclass(frozen=True)
class Event:
    """One phoneme event.

    Attributes
    ----------
    symbol
        espeak's mnemonic without its stress mark, such as ``"t#"``; those that begin with ``_`` are breaks.
    stress
        0, 1 (secondary) or 2 (primary).
    start_s
        When espeak begins to sound it: for a voiceless stop its release.
    end_s
        When the next one begins.
    silent_s
        Length of digital silence just before ``start_s``: the closure of a voiceless stop.
    word
        Counted from 0.
    long
        Whether a length mark follows in espeak's transcription; events lack it.
    """

    symbol: str
    stress: int
    start_s: float
    end_s: float
    silent_s: float
    word: int
    long: bool


class _Identity(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identity),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Engine:
    """The library, initialised once per process; it keeps global state and is not thread-safe.

    ``constant_f0_hz`` is the pitch of everything; ``None`` leaves it to espeak's rules and the voice.
    """

    def __init__(self, constant_f0_hz: int | None) -> None:
        self.library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        data = os.fsencode(espeakng_loader.get_data_path())
        self.audio_hz = self.library.espeak_Initialize(SYNCHRONOUS, 0, data, PHONEME_EVENTS | DO_NOT_EXIT)
        if self.audio_hz <= 0:
            raise VocalTractError("espeak-ng does not start; reinstall espeakng-loader")
        # Phones end with whole periods of the voice, and its flutter has a state that outlives an utterance: none here.
        if constant_f0_hz is not None:
            self.library.espeak_ng_SetConstF0(constant_f0_hz)
        self.library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self.marks: list[tuple[int, int, str]] = []  # (type, sample, symbol)
        self.blocks: list[np.ndarray] = []
        self._callback = _Callback(self._collect)  # kept here, or it is freed while the library still holds it
        self.library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, count, events) -> int:
        if samples and count:
            self.blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != END_OF_LIST:
            event = events[index]
            symbol = ""
            if event.type == PHONEME:
                symbol = ctypes.string_at(ctypes.addressof(event.id), 8).split(b"\0")[0].decode()
            self.marks.append((event.type, event.sample, symbol))
            index += 1
        return 0

    def set_voice(self, voice: str, rate_wpm: int) -> None:
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise VocalTractError(f"espeak-ng has no voice {voice!r}")
        self.library.espeak_SetParameter(RATE_PARAMETER, rate_wpm, 0)

    def set_prosody(self, rate_wpm: int, pitch: int, range_: int) -> None:
        """Set words per minute, and pitch and its range on espeak's scales of 0 to 100."""
        settings = {RATE_PARAMETER: rate_wpm, PITCH_PARAMETER: pitch, RANGE_PARAMETER: range_}
        for parameter, value in settings.items():
            self.library.espeak_SetParameter(parameter, value, 0)

    def seed_noise(self, seed: int) -> None:
        """Seed what breath and roughness of the voice are drawn from; espeak seeds it by the clock when it starts.

        Where the C library can be reached, its generator as well, from which espeak draws what its rules leave open.
        """
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        if os.name == "posix":
            ctypes.CDLL(None).srand(ctypes.c_uint(seed))

    def synthesise(self, text: str) -> tuple[list[tuple[int, int, str]], np.ndarray]:
        """Return marks (type, sample, symbol) and samples, int16."""
        self.marks, self.blocks = [], []
        encoded = text.encode() + b"\0"
        status = self.library.espeak_Synth(encoded, len(encoded), 0, 1, 0, CHARACTERS_UTF8, None, None)
        if status != 0:
            raise VocalTractError(f"espeak-ng cannot say {text!r} (status {status})")
        return self.marks, np.concatenate(self.blocks) if self.blocks else np.zeros(0, np.int16)

    def transcribe(self, text: str) -> str:
        """Return the text in mnemonics, with length marks, clauses separated by spaces."""
        buffer = ctypes.create_string_buffer(text.encode())
        position = ctypes.c_void_p(ctypes.addressof(buffer))
        clauses = []
        while position.value:
            clauses.append(self.library.espeak_TextToPhonemes(ctypes.byref(position), CHARACTERS_UTF8, 0).decode())
        return " ".join(clauses)


@functools.cache
def _engine() -> Engine:
    return Engine(CONSTANT_F0_HZ)


def events(text: str, voice: str, rate_wpm: int) -> tuple[Event, ...]:
    """Ask espeak-ng what it says for a text.

    Parameters
    ----------
    text
        In the voice's orthography.
    voice
        Such as ``"en-us"``.
    rate_wpm
        espeak's speaking rate in words per minute, 80 to 450.

    Raises
    ------
    VocalTractError
        If the voice does not exist or nothing can be said.
    """
    engine = _engine()
    engine.set_voice(voice, rate_wpm)
    marks, samples = engine.synthesise(text)
    long = _long(tuple(symbol for kind, _, symbol in marks if kind == PHONEME), engine.transcribe(text))
    found, word = [], -1
    phonemes = [index for index, mark in enumerate(marks) if mark[0] == PHONEME]
    ends = [marks[index][1] for index in phonemes[1:]] + [len(samples)]
    words = np.cumsum([mark[0] == WORD for mark in marks]) - 1
    for count, index in enumerate(phonemes):
        start = marks[index][1]
        symbol, stress = _stress(marks[index][2])
        word = max(int(words[index]), 0)
        silent = _silent_samples(samples, start) / engine.audio_hz
        found.append(
            Event(symbol, stress, start / engine.audio_hz, ends[count] / engine.audio_hz, silent, word, long[count])
        )
    if not found:
        raise VocalTractError(f"espeak-ng says nothing for {text!r} in the voice {voice!r}")
    return tuple(found)


def _stress(mnemonic: str) -> tuple[str, int]:
    for mark, stress in STRESS_MARKS.items():
        if mnemonic.startswith(mark) and len(mnemonic) > len(mark):
            return mnemonic[len(mark) :], stress
    return mnemonic, 0


def _silent_samples(samples: np.ndarray, end: int) -> int:
    """How many samples before ``end`` are zero without a break."""
    sounding = np.flatnonzero(samples[:end])
    return end - (int(sounding[-1]) + 1 if len(sounding) else 0)


def _long(mnemonics: tuple[str, ...], transcription: str) -> list[bool]:
    """Which events are long: the transcription has ``:`` after them (``n'Ot:e``), the events (``n 'O t e``) have not.

    Each event's symbol is looked for from where the last one was found, at most ``reach`` characters on, because espeak
    adds a few phones (the vowel before an Italian ``r``) after it has transcribed.
    """
    reach, position, long = 8, 0, []
    for mnemonic in mnemonics:
        symbol = _stress(mnemonic)[0]
        found = -1 if symbol.startswith("_") else transcription.find(symbol, position, position + reach + len(symbol))
        if found >= 0:
            position = found + len(symbol)
        long.append(found >= 0 and transcription[position : position + 1] == ":")
    return long
