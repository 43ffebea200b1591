"""Who speaks what: the design of eight speakers by eight languages, and the plans that can be asked for by name."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from vocaltract import speakers
from vocaltract.corpus import manners, matched
from vocaltract.corpus.task import BABBLE_KINDS, BABBLE_S, NO_LANGUAGE, Task
from vocaltract.errors import VocalTractError
from vocaltract.languages.texts import Sentence, texts

DESIGN = {
    "en": ("m2", "f1", "f3", "c2"),
    "it": ("m2", "f1", "f3", "c2"),
    "de": ("m1", "c1", "f2", "f3"),
    "es": ("f1", "c1", "m3", "f2"),
    "nl": ("m1", "f1", "m3", "c2"),
    "zh": ("m2", "c1", "m3", "f2"),
    "fi": ("m1", "c1", "m3", "f3"),
    "hi": ("m1", "m2", "f2", "c2"),
}
"""Speakers of each language: four, the first two of them of the demonstration; a man, a woman and a child among them.

Each speaker has four languages. A language can so be left out together with one of its speakers, while that speaker is
known from other languages and the language from other speakers; also among the demonstration's four speakers alone."""

DEMO_SPEAKERS = ("m1", "m2", "f1", "c1")


@dataclass(frozen=True)
class Options:
    """What a user can change about a plan; ``None`` and empty leave it as the plan says.

    Attributes
    ----------
    sentences
        How many of a language's main sentences each of its speakers says.
    minutes
        Speech of ``full`` and ``pretraining`` stops at the first sentence that is beyond; ``full`` adds all of its
        babble. Of ``babble``, minutes of each speaker.
    """

    speakers: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    sentences: int | None = None
    minutes: float | None = None
    seed: int = 0


AS_PLANNED = Options()


def tasks(plan: str, options: Options = AS_PLANNED) -> tuple[Task, ...]:
    """All utterances of a plan, sorted by speaker (``matched`` by blocks first), since a process has one at a time.

    Raises
    ------
    VocalTractError
        If the plan, a speaker or a language is unknown, or nothing is left of the plan.
    """
    if plan not in PLANS:
        raise VocalTractError(f"no plan {plan!r}; there are {', '.join(PLANS)}")
    _check(options.speakers, speakers.SPEAKERS, "speaker")
    _check(options.languages, (*DESIGN, NO_LANGUAGE), "language")
    for name in ("sentences", "minutes"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise VocalTractError(f"--{name} {value}: at least one sentence, more than no minutes")
    if plan == "shipped" and options.minutes is not None:
        raise VocalTractError(
            f"--minutes {options.minutes:g}: plan 'shipped' has a fixed length; full and pretraining stop at minutes"
        )
    chosen = [
        task
        for task in PLANS[plan](options)
        if task.speaker in (options.speakers or speakers.SPEAKERS)
        and (not options.languages or task.language in options.languages)
    ]
    if not chosen:
        raise VocalTractError(
            f"plan {plan!r} has nothing for speakers {', '.join(options.speakers) or '(all)'} and languages "
            f"{', '.join(options.languages) or '(all)'}: who speaks what is in docs/virtual_corpus.md"
        )
    if plan == "matched":
        return tuple(chosen)  # any beginning has the same of every condition; changing the speaker costs 9 MB
    order = {name: place for place, name in enumerate(speakers.SPEAKERS)}
    return tuple(sorted(chosen, key=lambda task: order[task.speaker]))


SHIPPED_SENTENCES = 8
"""With a minute of babble a speaker, 20 minutes: 26 MB, of the 30 that are left for data in the package."""
SHIPPED_BABBLE_MINUTES = 1.0
FULL_BABBLE_MINUTES = 4.0


def _shipped(options: Options) -> Iterator[Task]:
    """Speak the first sentences of every language, those of the demonstration in a folder of their own, and babble."""
    sentences = options.sentences or SHIPPED_SENTENCES
    for task in _speech(options, DESIGN, slice(sentences)):
        yield replace(task, part="demo" if task.speaker in DEMO_SPEAKERS else "rest")
    for task in _babble(options, SHIPPED_BABBLE_MINUTES):
        yield replace(task, part="babble")


def _full(options: Options) -> Iterator[Task]:
    """Every main sentence, by every speaker of its language; babble of 4 minutes for each speaker.

    It contains what ships: the same ids, seeds and sound.
    """
    yield from _until(_speech(options, DESIGN, slice(options.sentences)), options.minutes)
    yield from _babble(options, FULL_BABBLE_MINUTES)


def _pretraining(options: Options) -> Iterator[Task]:
    """Speak the main sentences that do not ship, all eight speakers, until the minutes are there in other manners.

    An encoder that learned from them has met no sentence and no seed of ``corpus=virtual``.
    """
    if options.minutes is None:
        yield from _unshipped(options, 1)
    else:
        yield from _until(_takes(options), options.minutes)


def _matched(options: Options) -> Iterator[Task]:
    """Minutes of each language and of babble, which differ in nothing else: see ``matched``."""
    chosen = options.languages or matched.LANGUAGES
    last = None if options.sentences is None else SHIPPED_SENTENCES + options.sentences
    said = {name: () if name == NO_LANGUAGE else _main(name)[SHIPPED_SENTENCES:last] for name in chosen}
    return matched.tasks(said, options.speakers or matched.SPEAKERS, options.minutes or matched.MINUTES, options.seed)


def _babble_only(options: Options) -> Iterator[Task]:
    yield from _babble(options, options.minutes or FULL_BABBLE_MINUTES)


PLANS: dict[str, Callable[[Options], Iterator[Task]]] = {
    "shipped": _shipped,
    "full": _full,
    "pretraining": _pretraining,
    "matched": _matched,
    "babble": _babble_only,
}


def _takes(options: Options) -> Iterator[Task]:
    """Take after take, without end unless there is nothing to say."""
    take = 1
    while of_take := list(_unshipped(options, take)):
        yield from of_take
        take += 1


def _unshipped(options: Options, take: int) -> Iterator[Task]:
    """One take of the main sentences after those that ship, with seeds that no other plan draws."""
    design = dict.fromkeys(DESIGN, speakers.SPEAKERS)
    last = None if options.sentences is None else SHIPPED_SENTENCES + options.sentences
    return _speech(options, design, slice(SHIPPED_SENTENCES, last), take, "pretraining/")


def _speech(
    options: Options, design: dict[str, tuple[str, ...]], sentences: slice, take: int = 1, seeds: str = ""
) -> Iterator[Task]:
    """Sentence by sentence through all languages and speakers, so that any beginning is balanced.

    ``seeds`` is put before the ids that seeds are drawn from.
    """
    said = {language: _main(language)[sentences] for language in options.languages or design if language in design}
    for place in range(max(map(len, said.values()), default=0)):
        for language, of_language in said.items():
            if place >= len(of_language):
                continue
            for speaker in design[language]:
                if speaker in (options.speakers or speakers.SPEAKERS):
                    yield _sentence(options.seed, speaker, language, of_language[place], take, seeds)


def _sentence(corpus_seed: int, speaker: str, language: str, sentence: Sentence, take: int, seeds: str) -> Task:
    utterance = f"{speaker}_{language}_{sentence.number:03d}" + (f"_t{take}" if take > 1 else "")
    seed = manners.seed_of(corpus_seed, seeds + utterance)
    manner = manners.drawn(seed, speakers.load(speaker).voice)
    seconds = 0.5 + estimated_s(sentence.spoken, language) / manner.rate
    return Task(
        utterance,
        "",
        speaker,
        language,
        "speech",
        sentence.number,
        sentence.text,
        sentence.spoken,
        seconds,
        manner,
        seed,
    )


def _babble(options: Options, minutes: float) -> Iterator[Task]:
    """Pieces of ``BABBLE_S`` seconds, the kinds in turn, until a speaker has the minutes."""
    if options.languages and NO_LANGUAGE not in options.languages:
        return
    pieces = max(1, round(minutes * 60 / BABBLE_S))
    for speaker in options.speakers or speakers.SPEAKERS:
        for place in range(pieces):
            kind, number = BABBLE_KINDS[place % len(BABBLE_KINDS)], place // len(BABBLE_KINDS) + 1
            utterance = f"{speaker}_{NO_LANGUAGE}_{kind}{number:02d}"
            seed = manners.seed_of(options.seed, utterance)
            manner = manners.drawn(seed, speakers.load(speaker).voice)
            # Utterances of equal text are never on two sides of a split: babble needs a text of its own each.
            text = f"babble {kind} {speaker} {number:02d}"
            yield Task(utterance, "", speaker, NO_LANGUAGE, f"babble_{kind}", number, text, "", BABBLE_S, manner, seed)


SECONDS_PER_SIGN = {"zh": 0.045, "hi": 0.075}


def estimated_s(spoken: str, language: str) -> float:
    """Rough duration from the number of signs; only to stop at a number of minutes and to tell how long is left."""
    return len(spoken) * SECONDS_PER_SIGN.get(language, 0.065)


def _until(some: Iterable[Task], minutes: float | None) -> Iterator[Task]:
    made = 0.0
    for task in some:
        if minutes is not None and made >= minutes * 60:
            return
        made += task.seconds
        yield task


@cache
def _main(language: str) -> tuple[Sentence, ...]:
    return tuple(sentence for sentence in texts(language) if sentence.set == "main")


def _check(given: Iterable[str], known: Iterable[str], what: str) -> None:
    for name in given:
        if name not in known:
            raise VocalTractError(f"no {what} {name!r}; there are {', '.join(known)}")
