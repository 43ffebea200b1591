from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest

from vocaltract.corpus import manners
from vocaltract.corpus.plan import BABBLE_S, DEMO_SPEAKERS, DESIGN, Options, tasks
from vocaltract.errors import VocalTractError
from vocaltract.languages.texts import texts
from vocaltract.speakers import SPEAKERS


def test_design_is_balanced():
    assert all(len(set(row)) == 4 and set(row) <= set(SPEAKERS) for row in DESIGN.values())
    assert Counter(speaker for row in DESIGN.values() for speaker in row) == dict.fromkeys(SPEAKERS, 4)
    assert all({speaker[0] for speaker in row} == set("mfc") for row in DESIGN.values())
    together = Counter(pair for row in DESIGN.values() for pair in combinations(sorted(row), 2))
    assert max(together.values()) <= 3


@pytest.mark.parametrize("language", DESIGN)
def test_demonstration_has_a_two_by_two_for_every_language(language):
    """Leave out the language and one speaker of it: both sides, known and new, keep a speaker and a language."""
    cells = {(speaker, name) for name, row in DESIGN.items() for speaker in row if speaker in DEMO_SPEAKERS}
    speaking = [speaker for speaker, name in cells if name == language]
    assert len(speaking) == 2
    for new in speaking:
        learned = {(speaker, name) for speaker, name in cells if speaker != new and name != language}
        known = next(speaker for speaker in speaking if speaker != new)
        assert known in {speaker for speaker, _ in learned}  # new language, known speaker
        assert {name for speaker, name in cells if speaker == new} & {name for _, name in learned}  # the reverse


def test_shipped_plan():
    planned = tasks("shipped")
    speech = [task for task in planned if task.kind == "speech"]
    assert {(task.speaker, task.language) for task in speech} == {
        (speaker, language) for language, row in DESIGN.items() for speaker in row
    }
    per_language = {name: {t.text for t in speech if t.language == name} for name in DESIGN}
    for name, said in per_language.items():
        assert said == {sentence.text for sentence in texts(name)[: len(said)]}  # the same texts for all speakers
    assert {task.speaker for task in planned if task.part == "demo"} == set(DEMO_SPEAKERS)
    babble = Counter(task.speaker for task in planned if task.part == "babble")
    assert babble == dict.fromkeys(SPEAKERS, 60 / BABBLE_S)
    assert len({task.id for task in planned}) == len(planned) == len({(t.speaker, t.text) for t in planned})


def test_no_plan_uses_the_sentences_of_the_interventions():
    kept = {(name, sentence.text) for name in DESIGN for sentence in texts(name) if sentence.set == "interventions"}
    for plan in ("shipped", "full", "pretraining"):
        assert kept and not kept & {(task.language, task.text) for task in tasks(plan)}


def test_tasks_are_sorted_by_speaker():
    for plan in ("shipped", "full", "pretraining", "babble"):
        order = [SPEAKERS.index(task.speaker) for task in tasks(plan)]
        assert order == sorted(order)


def test_the_full_plan_contains_what_ships():
    shipped = {task.id: replace(task, part="") for task in tasks("shipped")}
    full = {task.id: task for task in tasks("full")}
    assert shipped.items() <= full.items()


def test_minutes_stop_a_balanced_beginning():
    some = [task for task in tasks("full", Options(minutes=20)) if task.kind == "speech"]
    cells = Counter((task.speaker, task.language) for task in some)
    assert len(cells) == 32 and max(cells.values()) - min(cells.values()) <= 1
    assert sum(task.seconds for task in some) / 60 == pytest.approx(20, abs=0.2)
    takes = tasks("pretraining", Options(("f1",), ("it",), sentences=2, minutes=0.4))
    assert [task.id for task in takes[:3]] == ["f1_it_009", "f1_it_010", "f1_it_009_t2"]
    assert takes[0].manner != takes[2].manner and takes[0].seed != takes[2].seed


@pytest.mark.parametrize("options", [Options(), Options(minutes=700)])
def test_pretraining_has_no_sentence_and_no_seed_of_another_plan(options):
    learned = tasks("pretraining", options)
    shipped = tasks("shipped")
    assert not {(t.language, t.text) for t in learned} & {(t.language, t.text) for t in shipped}
    others = {task.seed for plan in ("shipped", "full") for task in tasks(plan)}
    assert not {task.seed for task in learned} & others
    assert len({task.id for task in learned}) == len(learned)


def test_pretraining_ends_where_there_is_nothing_to_say():
    with pytest.raises(VocalTractError, match=r"'pretraining' has nothing for .* languages zxx"):
        tasks("pretraining", Options(languages=("zxx",), minutes=10))


def test_seed_changes_every_utterance():
    first, second = tasks("shipped"), tasks("shipped", Options(seed=1))
    assert [task.id for task in first] == [task.id for task in second]
    assert not {task.seed for task in first} & {task.seed for task in second}


def test_manners_are_mostly_neutral_and_within_their_ranges():
    drawn = [manners.drawn(seed, "breathy") for seed in range(2000)]
    for name, (low, high) in manners.RANGES.items():
        values = [getattr(manner, name) for manner in drawn]
        assert low <= min(values) < low + 0.06 and high - 0.06 < max(values) <= high
        assert 0.45 < values.count(1.0) / len(values) < 0.65
    assert 0.8 < sum(manner.voice == "breathy" for manner in drawn) / len(drawn) < 0.9
    assert {manner.room for manner in drawn} == set(manners.ROOMS)
    assert {manner.microphone for manner in drawn} == set(manners.MICROPHONES)
    noise = [manner.noise_db for manner in drawn if manner.noise_db is not None]
    assert (min(noise), max(noise)) == manners.NOISE_DB


def test_labels_fit_the_folder_format():
    task = tasks("shipped")[0]
    labels = manners.labels(task.manner, "male", task.kind, task.seed)
    assert len(labels) <= 16
    assert all(0 < len(value) <= 64 and name.replace("_", "").isalnum() for name, value in labels.items())


@pytest.mark.parametrize(
    ("plan", "options", "message"),
    [
        ("big", Options(), "no plan 'big'; there are shipped, full"),
        ("full", Options(speakers=("m9",)), "no speaker 'm9'; there are m1"),
        ("full", Options(languages=("xx",)), "no language 'xx'; there are en"),
        ("full", Options(speakers=("m1",), languages=("en",)), "has nothing for speakers m1 and languages en"),
        ("full", Options(sentences=0), "--sentences 0"),
        ("full", Options(minutes=-1), "--minutes -1"),
        ("shipped", Options(minutes=5), "--minutes 5: plan 'shipped' has a fixed length"),
    ],
)
def test_errors_name_the_thing(plan, options, message):
    with pytest.raises(VocalTractError, match=message):
        tasks(plan, options)
