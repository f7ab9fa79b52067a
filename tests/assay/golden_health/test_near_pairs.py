"""Near-duplicates in columns: the same answers as the index, in work that does not explode."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from assay.golden_health.near_pairs import BANDS, WINDOW, near_pairs
from assay.near_duplicates import find_duplicates

WORDS = [f"{a}{b}{c}" for a in "bdfgkl" for b in "aeiou" for c in ("rn", "st", "m", "nd")]


def made_up(count: int, seed: int = 1) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(4, 14))) for _ in range(count)]


def test_planted_copies_are_found_and_nothing_else() -> None:
    texts = made_up(400)
    texts += [texts[3].upper() + "!!", texts[7] + " x", " ".join(reversed(texts[9].split()))]
    found = near_pairs(texts)
    assert [pair[:2] for pair in found.pairs] == [(3, 400), (7, 401), (9, 402)]
    assert found.repeating == 3
    assert found.pairs[0][2] == 100.0
    assert found.long_runs == 0


def test_it_finds_what_the_index_finds() -> None:
    texts = made_up(300, seed=5)
    chance = random.Random(8)
    for at in range(60):
        words = texts[at].split()
        words[chance.randrange(len(words))] = chance.choice(WORDS)
        texts.append(" ".join(words))
    ours = {second for _, second, _ in near_pairs(texts).pairs}
    index = {
        int(hit.second) for hit in find_duplicates({str(at): text for at, text in enumerate(texts)})
    }
    # Both draw their candidates by chance; what both compare, they judge alike.
    assert len(ours & index) >= 0.95 * len(index)
    assert len(ours - index) <= 0.05 * len(index)


def test_short_texts_are_compared_by_their_words_alone() -> None:
    assert near_pairs(["so sad", "so bad", "So sad?"]).pairs == ((0, 2, 100.0),)


def test_one_wording_shared_by_all_texts_is_bounded_and_told() -> None:
    texts = [f"dear customer service, my order {n:05} has still not arrived" for n in range(3000)]
    found = near_pairs(texts)
    assert found.compared <= BANDS * WINDOW * len(texts) / 4
    assert found.repeating > 0.5 * len(texts)
    assert found.long_runs > 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=12))
def test_any_texts_are_taken_and_every_exact_copy_is_found(texts: list[str]) -> None:
    twice = near_pairs([*texts, *texts])
    assert {second for _, second, _ in twice.pairs} >= set(range(len(texts), 2 * len(texts)))
    assert all(first < second for first, second, _ in twice.pairs)
