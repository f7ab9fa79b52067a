"""When two texts count as one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.near_duplicates import (
    DuplicateIndex,
    find_duplicates,
    find_leaks,
    same_text_key,
    words_key,
)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Thank you!!!", "thank  you"),
        ("I can’t believe it", "i cant believe it"),
        ("Vui quá", unicodedata.normalize("NFD", "vui quá")),
        ("ＦＵＬＬ width", "full width"),
        ("I love it ❤️", "I love it ❤"),
        ("I finally got the job at the bakery!", "I finally got a job at the bakery"),
        ("the train was late again this morning", "this morning the train was late again"),
        ("Hôm nay trời mưa to làm tôi buồn ghê", "Hôm nay trời mưa to làm tôi buồn gê"),
    ],
)
def test_these_count_as_one(first: str, second: str) -> None:
    hits = find_duplicates({"a": first, "b": second})
    assert [(hit.first, hit.second) for hit in hits] == [("a", "b")]
    assert 90 <= hits[0].similarity <= 100


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Get out now", "Got out now"),
        ("He left 😂", "He left 😭"),
        ("😂😂", "😭😭"),
        (":)", ":("),
        ("की", "क"),
        ("I finally got the job at the bakery!", "I finally lost my keys at the station!"),
        ("Hôm nay trời mưa to làm tôi buồn ghê", "The rain today made me really sad"),
    ],
)
def test_these_stay_two(first: str, second: str) -> None:
    assert find_duplicates({"a": first, "b": second}) == ()


def test_a_text_that_comes_three_times_is_reported_twice_against_the_first() -> None:
    text = "the same long sentence every time"
    hits = find_duplicates({"a": text, "b": text.upper(), "c": text + "!"})
    assert [(hit.first, hit.second) for hit in hits] == [("a", "b"), ("a", "c")]


def test_leaks_are_found_between_sets_and_not_inside_them() -> None:
    training = {"t1": "We won the cup, incredible night", "t2": "We won the cup, incredible nigt"}
    golden = {"g1": "we won the cup incredible night!", "g2": "My tea is cold and I do not mind"}
    hits = find_leaks(training, golden)
    assert [(hit.first, hit.second) for hit in hits] == [("g1", "t1"), ("g1", "t2")]
    assert find_leaks({"t": "something else entirely, about boats"}, golden) == ()


def test_an_id_is_added_once() -> None:
    index = DuplicateIndex()
    index.add_all({"a": "one text that is long enough"})
    with pytest.raises(ValueError, match="'a' is in the index already"):
        index.add_all({"a": "another text that is long enough"})


@pytest.mark.parametrize("text", ["", "  ", "\u200b\u200d", "\ufeff", "\u00ad \u2060"])
def test_what_shows_nothing_has_an_empty_key(text: str) -> None:
    assert same_text_key(text) == ""
    assert words_key(text) == ""


@given(st.text(max_size=60))
def test_keys_are_stable_under_case_form_and_space(text: str) -> None:
    for key in (same_text_key, words_key):
        assert key(key(text)) == key(text)
        assert key(unicodedata.normalize("NFD", text)) == key(text)
        assert key(f"  {text}\n") == key(text)


@given(st.text(min_size=1, max_size=60).filter(lambda text: bool(words_key(text))))
def test_every_text_is_a_duplicate_of_itself(text: str) -> None:
    assert len(find_duplicates({"a": text, "b": text})) == 1
