"""Krippendorff's alpha, against a published data set, a textbook and its own definition."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.relabelling.agreement import alpha_by_label, krippendorff_alpha
from tests.relabel_rig import shared_data


def test_alpha_of_the_hate_speech_annotations_is_what_others_compute() -> None:
    rows = shared_data("hatecheck_annotations.jsonl").read_text().splitlines()
    given_labels = [list(json.loads(row)["annotations"].values()) for row in rows]
    labels = sorted({label for row in given_labels for label in row})
    counts = np.array([[row.count(label) for label in labels] for row in given_labels])
    found = krippendorff_alpha(counts)
    assert found.alpha is not None
    assert round(found.alpha, 5) == 0.93902
    assert (found.units, found.labels) == (3728, 18640)
    assert found.interval is not None
    low, high = found.interval
    assert low < found.alpha < high
    assert high - low < 0.03


def test_alpha_of_the_textbook_example() -> None:
    """Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, part C: nominal, 0.743."""
    units = [
        "111",
        "2232",
        "3333",
        "3333",
        "2222",
        "1234",
        "4444",
        "1121",
        "2222",
        "555",
        "11",
        "3",
    ]
    counts = np.array([[unit.count(label) for label in "12345"] for unit in units])
    found = krippendorff_alpha(counts)
    assert found.alpha == pytest.approx(0.743, abs=0.0005)
    assert found.units == 11


def test_what_nobody_can_disagree_on_is_not_defined_rather_than_perfect() -> None:
    assert krippendorff_alpha(np.array([[3, 0], [3, 0]])).alpha is None
    assert krippendorff_alpha(np.array([[1, 0], [0, 1]])).alpha is None
    assert krippendorff_alpha(np.zeros((0, 2), dtype=np.int64)).units == 0


@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=12))
def test_alpha_is_one_minus_observed_over_expected_disagreement_of_all_pairs(
    rows: list[list[int]],
) -> None:
    counts = np.array(rows, dtype=np.int64)
    units = [[c for c, n in enumerate(row) for _ in range(n)] for row in rows]
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    observed = sum(
        sum(a != b for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j)
        / (len(unit) - 1)
        for unit in units
    )
    expected = sum(a != b for i, a in enumerate(values) for j, b in enumerate(values) if i != j)
    found = krippendorff_alpha(counts, replicates=0).alpha
    if not expected:
        assert found is None
    else:
        assert found == pytest.approx(1 - observed * (len(values) - 1) / expected)


def test_each_label_has_an_alpha_of_its_own() -> None:
    counts = np.array([[3, 0, 0], [3, 0, 0], [0, 2, 1], [0, 1, 2], [0, 2, 1]])
    found = alpha_by_label(counts, ("joy", "anger", "fear"))
    assert found["joy"].alpha == pytest.approx(1.0)
    anger = found["anger"].alpha
    assert anger is not None
    assert anger < 0.6
