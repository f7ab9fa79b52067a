"""Drift: false alarms at the rate promised, real shifts found, effect sizes that never decide."""

from collections.abc import Sequence

import numpy as np
import pytest

from assay.golden_health.drift import (
    Sample,
    detectable_share,
    drawn,
    drift,
    effect_sizes,
    homogeneity,
    telling_words,
)

WORDS = np.array([f"w{letter}{more}" for letter in "abcdefgh" for more in "klmnopqr"])


def sample(
    rows: int, seed: int, *, joy: float = 0.5, en: float = 0.5, shift: float = 0.0
) -> Sample:
    random = np.random.default_rng(seed)
    weights = 1 / np.arange(1, len(WORDS) + 1)
    weights[40] += shift
    weights /= weights.sum()
    texts = [
        " ".join(random.choice(WORDS, size, p=weights)) for size in random.integers(4, 12, rows)
    ]
    return Sample(
        texts=texts,
        labels=["joy" if coin else "fear" for coin in random.random(rows) < joy],
        languages=["en" if coin else "vi" for coin in random.random(rows) < en],
    )


def alarms(found: Sequence[object]) -> set[str]:
    return {one.aspect for one in found if one.adjusted <= 0.05}  # type: ignore[attr-defined]


def test_samples_of_one_source_are_seldom_called_drifted() -> None:
    pairs = [(sample(100, 2 * n), sample(100, 2 * n + 1)) for n in range(12)]
    wrong = sum(bool(alarms(drift(ours, theirs))) for ours, theirs in pairs)
    # Holm keeps any alarm at 5 %: of 12, more than 4 happen twice in ten thousand times.
    assert wrong <= 4


def test_psi_is_large_where_nothing_drifted_and_so_cannot_decide() -> None:
    random = np.random.default_rng(4)
    shares = np.full(10, 0.1)
    counts = [random.multinomial(50, shares, size=2) for _ in range(150)]
    psi = np.array([effect_sizes(pair)[0] for pair in counts])
    p = np.array([homogeneity(pair, random)[0] for pair in counts])
    assert (psi > 0.1).mean() > 0.7
    assert (p <= 0.05).mean() < 0.1


@pytest.mark.parametrize(
    ("changed", "aspect"),
    [({"joy": 0.7}, "labels"), ({"en": 0.3}, "languages"), ({"shift": 0.6}, "words")],
)
def test_the_aspect_that_moved_is_the_one_called(changed: dict[str, float], aspect: str) -> None:
    found = drift(sample(500, 1), sample(500, 2, **changed))
    assert alarms(found) == {aspect}


def test_longer_texts_are_called_by_their_length() -> None:
    long = sample(300, 3)
    assert long.texts is not None
    moved = Sample(texts=[f"{t} {t}" for t in long.texts], labels=None, languages=None)
    found = {one.aspect: one for one in drift(sample(300, 4), moved)}
    assert found.keys() == {"lengths", "words"}, "what a sample lacks is not compared"
    assert found["lengths"].adjusted <= 0.05
    assert sum(found["lengths"].golden) == pytest.approx(1)


def test_rare_values_take_the_permutation_and_agree_with_fisher() -> None:
    counts = np.array([[3, 17], [10, 10]])
    rare = np.array([[1, 9], [6, 4]])
    assert homogeneity(counts, np.random.default_rng(0))[1] == "chi-square"
    p, method = homogeneity(rare, np.random.default_rng(0))
    assert method == "permutation"
    assert p == pytest.approx(0.057, abs=0.02)  # Fisher's exact, two-sided: 0.0573


def test_equal_shares_have_no_effect_and_disjoint_ones_the_largest() -> None:
    assert effect_sizes(np.array([[5, 5], [50, 50]]))[1] == pytest.approx(0)
    assert effect_sizes(np.array([[9, 0], [0, 9]]))[1] == pytest.approx(1)


def test_a_large_sample_is_drawn_down_the_same_way_each_time() -> None:
    whole = sample(1000, 9)
    part = drawn(whole, 100, seed=3)
    assert part == drawn(whole, 100, seed=3)
    assert part.rows == 100
    assert drawn(whole, 1000, seed=3) is whole
    assert detectable_share((2000, 2000), alpha=0.0125) == pytest.approx(0.053, abs=0.005)


def test_a_rare_word_or_a_number_of_one_user_is_never_shown() -> None:
    ours = Sample(texts=["the cat sat"] * 300, labels=None, languages=None)
    theirs = Sample(
        texts=["the dog ran 4711"] * 295 + ["the secretname ran"] * 5, labels=None, languages=None
    )
    words = next(one for one in drift(ours, theirs) if one.aspect == "words")
    shown = {row["word"] for row in telling_words(words)}
    assert {"dog", "cat"} <= shown
    assert not {"secretname", "4711"} & shown
