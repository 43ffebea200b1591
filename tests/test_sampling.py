import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.batching import BatchRule, EpochBatches, StandIn, padding


def entry(number: int, language: str, duration_s: float = 2.0) -> Entry:
    return Entry(f"c/{language}{number}", "c", "c/s", language, "", round(16000 * duration_s))


def world(**counts: int) -> list[Entry]:
    """Utterances of 1 to 9 s."""
    lengths = np.random.default_rng(0).uniform(1, 9, sum(counts.values()))
    names = [(number, language) for language, count in counts.items() for number in range(count)]
    return [entry(number, language, length) for (number, language), length in zip(names, lengths, strict=True)]


WORLD = world(en=60, it=30, de=10)


def languages(batches: list[tuple[str, ...]]) -> Counter[str]:
    return Counter(id_[2:4] for batch in batches for id_ in batch)


def test_an_epoch_holds_every_utterance_once_where_nothing_is_balanced():
    ids = [id_ for batch in BatchRule().of_epoch(WORLD, 0, 7) for id_ in batch]
    assert sorted(ids) == sorted(one.id for one in WORLD)


@pytest.mark.parametrize(("temperature", "expected"), [(1, (60, 30, 10)), (2, (47, 33, 19)), (math.inf, (33, 33, 33))])
def test_temperature_balances_languages(temperature: float, expected: tuple[int, ...]):
    drawn = languages(BatchRule(temperature=temperature).of_epoch(WORLD, 0, 0))
    assert (drawn["en"], drawn["it"], drawn["de"]) == expected


@pytest.mark.parametrize("temperature", [1.0, 3.0, math.inf])
def test_over_epochs_the_utterances_of_a_language_are_drawn_equally_often(temperature: float):
    rule = BatchRule(temperature=temperature)
    drawn = Counter(id_ for epoch in range(20) for batch in rule.of_epoch(WORLD, 0, epoch) for id_ in batch)
    for language in ("en", "it", "de"):
        counts = [drawn[one.id] for one in WORLD if one.language == language]
        assert max(counts) - min(counts) <= 1


def test_order_is_a_function_of_seed_and_epoch_and_not_of_the_order_of_entries():
    rule = BatchRule(temperature=2)
    first = rule.of_epoch(WORLD, 0, 3)
    assert first == rule.of_epoch(WORLD[::-1], 0, 3)
    assert first != rule.of_epoch(WORLD, 0, 4) and first != rule.of_epoch(WORLD, 1, 3)


def test_batches_do_not_come_in_the_order_of_their_length():
    longest = [max(one.num_samples for one in WORLD if one.id in batch) for batch in BatchRule().of_epoch(WORLD, 0, 0)]
    assert longest != sorted(longest) and longest != sorted(longest, reverse=True)


def test_little_is_padded():
    batches = BatchRule().of_epoch(WORLD, 0, 0)
    mixed = [tuple(one.id for one in WORLD[first : first + 8]) for first in range(0, 96, 8)]
    assert padding(batches, WORLD) < 0.1 < 0.3 < padding(mixed, WORLD)


@given(
    st.lists(st.floats(0.1, 30), min_size=1, max_size=60),
    st.integers(1, 9),
    st.floats(1, 60),
    st.floats(1, 1e6),
    st.integers(0, 5),
)
def test_no_batch_is_larger_than_asked_for(lengths, size: int, seconds: float, temperature: float, epoch: int):
    entries = [entry(number, "en" if number % 3 else "it", length) for number, length in enumerate(lengths)]
    duration_s = {one.id: one.duration_s for one in entries}
    rule = BatchRule(size, seconds, temperature)
    for batch in [*rule.of_epoch(entries, 0, epoch), *rule.in_order(entries)]:
        assert 1 <= len(batch) <= size
        assert len(batch) == 1 or len(batch) * max(duration_s[id_] for id_ in batch) <= seconds
    assert sorted(id_ for batch in rule.in_order(entries) for id_ in batch) == sorted(duration_s)


@pytest.mark.parametrize("ranks", [1, 2, 3, 11])
def test_ranks_share_each_batch_of_an_epoch(ranks: int):
    """Whoever has no part of a batch is kept busy by what does not count."""
    rule = BatchRule(size=8, seconds=40)
    shares = [list(EpochBatches(WORLD, rule, 0, rank=rank, ranks=ranks)) for rank in range(ranks)]
    for batch, *parts in zip(rule.of_epoch(WORLD, 0, 0), *shares, strict=True):
        assert all(parts) and max(map(len, parts)) - min(map(len, parts)) <= 1
        counted = [id_ for part in parts for id_ in part if not isinstance(id_, StandIn)]
        assert sorted(counted) == sorted(batch)
        assert {id_ for part in parts for id_ in part} == set(batch)
