"""Plan ``matched``: conditions that differ in their language alone, or in whether there is any.

Each condition (a language, or babble) has the same number of places; a place has one speaker, one manner of speaking
and recording and one seed, whatever the condition, and babble there is as long as its sentences are on average.
Speakers take turns; from take to take each sentence passes on to another speaker.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import count
from math import gcd

from vocaltract import languages, speakers
from vocaltract.corpus import manners
from vocaltract.corpus.task import BABBLE_KINDS, BABBLE_S, NO_LANGUAGE, Task
from vocaltract.languages.texts import Sentence
from vocaltract.manner import Manner

SPEAKERS = ("m1", "m2", "f2", "f3")
"""Two men and two women, of whom each language of the built-in corpus knows as many."""
LANGUAGES = ("it", "zh", "fi", NO_LANGUAGE)
MINUTES = 6.0
TURNS = 4
"""A block has as many places of each speaker: the corpus grows by blocks, so that any beginning is balanced."""
SILENCE_S = 0.5
"""Before and after the phones, on average."""


def tasks(
    sentences: Mapping[str, Sequence[Sentence]], names: Sequence[str], minutes: float, corpus_seed: int
) -> Iterator[Task]:
    """All utterances, block by block and, within a block, speaker by speaker.

    Parameters
    ----------
    sentences
        What each condition may say; nothing for babble.
    names
        Speakers.
    minutes
        Of each condition, at least; the last block is whole.
    """
    done_s = dict.fromkeys(sentences, 0.0)
    for block in count():
        if min(done_s.values()) >= minutes * 60:
            return
        first = block * TURNS * len(names)
        places = range(first, first + TURNS * len(names))
        for place in sorted(places, key=lambda place: place % len(names)):
            for task in _at(place, sentences, names, corpus_seed):
                done_s[task.language] += task.seconds
                yield task


def _at(
    place: int, sentences: Mapping[str, Sequence[Sentence]], names: Sequence[str], corpus_seed: int
) -> Iterator[Task]:
    speaker = names[place % len(names)]
    seed = manners.seed_of(corpus_seed, f"matched/{speaker}_{place:04d}")
    manner = manners.drawn(seed, speakers.load(speaker).voice)
    said = {name: said_at(place, of_name, len(names)) for name, of_name in sentences.items() if of_name}
    seconds = {name: _seconds(sentence.spoken, name, manner) for name, sentence in said.items()}
    for name in sentences:
        if name == NO_LANGUAGE:
            length = sum(seconds.values()) / len(seconds) if seconds else BABBLE_S
            yield _babble(place, speaker, round(length, 2), manner, seed)
        else:
            one = said[name]
            yield Task(
                f"{name}_{place:04d}_{speaker}",
                "",
                speaker,
                name,
                "speech",
                one.number,
                one.text,
                one.spoken,
                round(seconds[name], 3),
                manner,
                seed,
            )


def said_at(place: int, sentences: Sequence[Sentence], speaking: int) -> Sentence:
    """Sentence of a place: all of them once a take, each by another of the ``speaking`` speakers from take to take."""
    of_all = len(sentences)
    shift = next(step for step in count() if gcd(abs(of_all - step), speaking) == 1)
    take, within = divmod(place, of_all)
    return sentences[(within + shift * take) % of_all]


def _babble(place: int, speaker: str, seconds: float, manner: Manner, seed: int) -> Task:
    kind = BABBLE_KINDS[place // len(SPEAKERS) % len(BABBLE_KINDS)]
    text = f"babble {kind} {speaker} matched {place:04d}"
    utterance = f"{NO_LANGUAGE}_{place:04d}_{speaker}"
    return Task(utterance, "", speaker, NO_LANGUAGE, f"babble_{kind}", place, text, "", seconds, manner, seed)


def _seconds(spoken: str, language: str, manner: Manner) -> float:
    return SILENCE_S + _neutral_s(spoken, language) / manner.rate


@cache
def _neutral_s(spoken: str, language: str) -> float:
    return languages.speak(spoken, language).phones[-1].end_s
