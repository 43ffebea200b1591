from collections import Counter, defaultdict

import pytest

from vocaltract.corpus import matched
from vocaltract.corpus.plan import DEMO_SPEAKERS, DESIGN, Options, tasks
from vocaltract.languages.texts import texts

CONDITIONS = ("it", "zh", "fi", "zxx")


@pytest.fixture(scope="module")
def planned():
    return tasks("matched", Options(minutes=6))


def test_at_a_place_nothing_but_the_language_differs(planned):
    places = defaultdict(list)
    for task in planned:
        places[task.id.split("_")[1]].append(task)
    for of_place in places.values():
        assert sorted(task.language for task in of_place) == sorted(CONDITIONS)
        assert len({(task.speaker, task.manner, task.seed) for task in of_place}) == 1
        babble = next(task for task in of_place if task.language == "zxx")
        speech = [task.seconds for task in of_place if task.language != "zxx"]
        assert babble.seconds == pytest.approx(sum(speech) / len(speech), abs=0.006)
    assert Counter(task.speaker for task in planned) == dict.fromkeys(("m1", "m2", "f2", "f3"), len(planned) // 4)


def test_conditions_are_balanced_at_any_time(planned):
    done_s = dict.fromkeys(CONDITIONS, 0.0)
    for count, task in enumerate(planned, start=1):
        done_s[task.language] += task.seconds
        if count % len(CONDITIONS) == 0:
            assert max(done_s.values()) - min(done_s.values()) < 10 + 0.1 * max(done_s.values())
    assert all(6 * 60 <= seconds < 7.2 * 60 for seconds in done_s.values())
    assert len({task.id for task in planned}) == len(planned)


def test_no_sentence_and_no_seed_of_the_built_in_corpus(planned):
    shipped = tasks("shipped")
    kept = {(name, sentence.text) for name in DESIGN for sentence in texts(name) if sentence.set == "interventions"}
    said = {(task.language, task.text) for task in planned}
    assert not said & ({(task.language, task.text) for task in shipped} | kept)
    assert not {task.seed for task in planned} & {task.seed for task in (*shipped, *tasks("full"))}


def test_built_in_languages_know_equally_many_of_the_speakers():
    spoken = ("it", "zh", "fi")
    assert [len({*DESIGN[name]} & {*matched.SPEAKERS}) for name in spoken] == [2, 2, 2]
    assert [len({*DESIGN[name]} & {*matched.SPEAKERS} & {*DEMO_SPEAKERS}) for name in spoken] == [1, 1, 1]


@pytest.mark.parametrize("count", [1, 5, 56, 57, 58, 70])
@pytest.mark.parametrize("speaking", [1, 3, 4, 8])
def test_a_take_says_each_sentence_once_and_the_next_by_another_speaker(count, speaking):
    sentences = texts("fi")[:count]
    takes = [
        [matched.said_at(take * count + place, sentences, speaking) for place in range(count)] for take in range(3)
    ]
    assert all(Counter(said) == Counter(sentences) for said in takes)
    by = defaultdict(list)
    for place, sentence in enumerate(said for take in takes[:2] for said in take):
        by[sentence].append(place % speaking)
    changed = [first != second for first, second in by.values()]
    assert speaking == 1 or sum(changed) >= 0.8 * count


def test_less_of_the_plan_is_its_beginning():
    some, more = tasks("matched", Options(minutes=2)), tasks("matched", Options(minutes=4))
    assert more[: len(some)] == some and len(some) < len(more)


def test_babble_alone_has_pieces_of_five_seconds():
    planned = tasks("matched", Options(("m1",), ("zxx",), minutes=1))
    assert {task.seconds for task in planned} == {5.0} and {task.kind for task in planned} == {
        "babble_a",
        "babble_b",
        "babble_c",
    }
