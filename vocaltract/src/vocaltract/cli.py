"""Commands: ``python -m vocaltract corpus|babble|espeak|interventions|check|languages|pictures``."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vocaltract.errors import VocalTractError

DESCRIPTION = """Speech of virtual vocal tracts from text: audio, movements of tongue, lips and jaw, pitch and
phone times that agree exactly. Eight speakers, eight languages, and babble that belongs to no language."""

PLANS = ("shipped", "full", "pretraining", "matched")
CORPUS = """Makes a corpus. The same command again makes what is missing and nothing else; the result depends on
plan and seed, not on the number of workers. Plans:
  shipped      what tractprobe contains: 4 speakers of each of 8 languages, 8 sentences each, a minute
               of babble per speaker (about 20 minutes, in demo/, rest/ and babble/)
  full         every main sentence by the 4 speakers of its language, 4 minutes of babble per speaker
               (about 2 hours); what ships is part of it
  pretraining  the main sentences that do not ship, by all 8 speakers, so that an encoder that learns from them
               has heard no utterance of what tractprobe tests it on; with --minutes as often, in other manners,
               as that takes (add --audio-only: twice as fast)
  matched      for experiments in which language alone differs: --minutes (6) of each of --languages (it zh fi and
               zxx, babble), the same --speakers (m1 m2 f2 f3) in each, the same manners, rooms, microphones and
               noise at the same places; no sentence that ships; any beginning of it is balanced
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status. What a user can fix is one line on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    options = parser.parse_args(given)
    try:
        return options.run(options, "vocaltract " + shlex.join(given))
    except VocalTractError as error:
        print(f"vocaltract: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"vocaltract: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vocaltract: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("vocaltract", description=DESCRIPTION)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    corpus = _command(commands, "corpus", "make a corpus", CORPUS, _corpus)
    corpus.add_argument("--plan", default="shipped", help="shipped (default), full, pretraining or matched")
    corpus.add_argument(
        "--languages", nargs="+", default=(), metavar="L", help="only these: en it de es nl zh fi hi, zxx for babble"
    )
    corpus.add_argument("--sentences", type=int, metavar="N", help="the first N of each language's main sentences")
    corpus.add_argument("--audio-only", action="store_true", help="neither movements nor pitch: about twice as fast")
    _making(
        corpus, "stop after M minutes of speech (full, pretraining; matched: of each language); full adds its babble"
    )
    babble = _command(
        commands,
        "babble",
        "make babble",
        "Makes babble: movements that belong to no language, in three kinds.",
        _babble,
    )
    _making(babble, "minutes of each speaker (default: 4)")
    _espeak_options(_command(commands, "espeak", "make speech of espeak-ng, sound alone", ESPEAK, _espeak))
    changed = _command(commands, "interventions", "move one articulator at a time", INTERVENTIONS, _interventions)
    changed.add_argument(
        "--sentences", type=int, default=1, metavar="N", help="of each speaker in each language (default: 1)"
    )
    _drawing(changed)
    check = _command(commands, "check", "check a corpus", CHECK, _check, "corpus folder")
    check.add_argument("--json", type=Path, metavar="FILE", help="write the measurements to this file")
    check.add_argument(
        "--no-recogniser", action="store_true", help="without the intelligibility test, the slowest part"
    )
    shown = commands.add_parser("languages", help="print the languages' tables", description=LANGUAGES)
    shown.add_argument("languages", nargs="*", metavar="LANGUAGE", help="only these, in detail")
    shown.set_defaults(run=_languages)
    pictures = _command(
        commands, "pictures", "draw the pictures of a corpus", PICTURES, _pictures, "folder for the pictures"
    )
    pictures.add_argument("--corpus", type=Path, required=True, metavar="CORPUS", help="corpus folder")
    return parser


ESPEAK = """Makes speech of espeak-ng, a formant synthesiser, for encoders to be pretrained on: sound alone, in any of
65 languages, far faster than a virtual vocal tract speaks. Every language has the same voices, women and men in
turn, and says the same things: names of symbols (emoji), in the words of the language, with the same settings of
pitch, range and rate. The same command again makes what is missing; more languages can be added later.

  python -m vocaltract espeak OUT --languages fi sw tr hi ka vi zh --minutes 17
  tractprobe prepare corpus=audio corpus.name=espeak corpus.root=OUT
"""
INTERVENTIONS = """Makes pairs of utterances that differ in one thing: an articulator moved in a window, pitch,
voice, anatomy, timing."""
CHECK = """Checks a corpus folder: silence, clipping, jumps, closures, vowels, levels, and how well a small
recogniser that learned from other speakers understands it. Prints a table; the exit status is 1 if anything fails."""
LANGUAGES = """Prints inventories, their overlap, coverage by the sentences, and rhythm."""
PICTURES = """Draws spectrograms with movements and phones, the vowels of each speaker, and babble beside speech."""


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    short: str,
    long: str,
    run: Callable[[argparse.Namespace, str], int],
    folder: str = "output folder",
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=short, description=long, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="CORPUS" if run is _check else "OUT", help=folder)
    parser.set_defaults(run=run)
    return parser


def _making(parser: argparse.ArgumentParser, minutes: str) -> None:
    parser.add_argument("--speakers", nargs="+", default=(), metavar="S", help="only these: m1 m2 m3 f1 f2 f3 c1 c2")
    parser.add_argument("--minutes", type=float, metavar="M", help=minutes)
    parser.add_argument("--motor", action="store_true", help="keep the trajectories of tract and glottis")
    _drawing(parser)


def _drawing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of everything that is drawn (default: 0)")
    parser.add_argument(
        "--workers", type=int, default=_cores(), metavar="W", help="processes (default: as many as cores)"
    )
    parser.add_argument("--anew", action="store_true", help="remove what the folder holds from other settings")


def _espeak_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--languages", nargs="+", required=True, metavar="L", help="ISO 639-1, such as fi sw tr hi ka vi zh"
    )
    parser.add_argument("--minutes", type=float, default=20.0, metavar="M", help="of each language (default: 20)")
    parser.add_argument("--voices", type=int, default=8, metavar="V", help="of each language (default: 8, at most 24)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of everything that is drawn (default: 0)")
    parser.add_argument("--anew", action="store_true", help="remove what the folder holds from other settings")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _corpus(options: argparse.Namespace, command: str) -> int:
    if options.plan not in PLANS:
        raise VocalTractError(f"no plan {options.plan!r}; there are {', '.join(PLANS)}")
    return _made(options, command, options.plan, languages=options.languages, sentences=options.sentences)


def _babble(options: argparse.Namespace, command: str) -> int:
    options.audio_only = False
    return _made(options, command, "babble")


def _made(
    options: argparse.Namespace,
    command: str,
    plan: str,
    *,
    languages: Sequence[str] = (),
    sentences: int | None = None,
) -> int:
    from vocaltract.corpus import Options, make_corpus, tasks
    from vocaltract.corpus.utterance import Keep

    chosen = tasks(plan, Options(tuple(options.speakers), tuple(languages), sentences, options.minutes, options.seed))
    keep = Keep(movement=not options.audio_only, motor=options.motor)
    summary = make_corpus(options.out, chosen, keep=keep, workers=options.workers, anew=options.anew, command=command)
    rate = f", {summary.seconds / summary.minutes / 60:.2f} s for a second" if summary.minutes else ""
    print(
        f"{options.out}: {summary.made} utterances made, {summary.minutes:.1f} minutes in {summary.seconds / 60:.1f}"
        f"{rate}; {summary.kept} were there"
    )
    return 0


def _espeak(options: argparse.Namespace, command: str) -> int:
    from vocaltract.formant_speech import Order, write

    order = Order(tuple(options.languages), options.minutes, options.voices, options.seed)
    summary = write(options.out, order, anew=options.anew, command=command)
    print(
        f"{options.out}: {summary.minutes:.1f} minutes made in {summary.seconds:.0f} s; "
        f"{summary.kept} of {summary.made + summary.kept} pairs of voice and language were there"
    )
    return 0


def _interventions(options: argparse.Namespace, command: str) -> int:
    from vocaltract import interventions

    if options.sentences < 1:
        raise VocalTractError(f"--sentences {options.sentences}: at least one")
    summary = interventions.write(
        options.out, options.seed, options.workers, sentences=options.sentences, anew=options.anew
    )
    print(f"{options.out}: {summary.made} base utterances made, {summary.kept} were there")
    return 0


def _check(options: argparse.Namespace, command: str) -> int:
    from vocaltract.checks import check

    return check(options.out, json_file=options.json, recogniser=not options.no_recogniser)


def _languages(options: argparse.Namespace, command: str) -> int:
    from vocaltract.languages import tables

    print(tables.overview(options.languages))
    return 0


def _pictures(options: argparse.Namespace, command: str) -> int:
    from vocaltract.checks import pictures

    pictures.draw(options.corpus, options.out)
    return 0
