"""The search finds the highest rate that meets the objectives, and confirms it or says so."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.load.profile import Search
from assay.load.search import CONFIRMATIONS, RateSearch, SearchResult, Step


def walk(
    search: Search, seems: Callable[[float], bool], truly: Callable[[float], bool] | None = None
) -> SearchResult:
    """Runs a search against a server that a function stands for."""
    state = RateSearch(search)
    while (rate := state.next_rate()) is not None:
        state.record(step(rate, met=seems(rate)))
    while (rate := state.next_confirmation()) is not None:
        state.record(step(rate, met=(truly or seems)(rate), confirmation=True))
    return state.result()


def step(rate: float, *, met: bool, confirmation: bool = False) -> Step:
    return Step(
        rate_per_s=rate, met=met, confirmation=confirmation, requests=100, reason="too slow"
    )


@given(st.floats(0.13, 1500.0), st.sampled_from([0.02, 0.1, 0.5]))
def test_the_limit_of_a_server_is_found_to_the_precision(limit: float, precision: float) -> None:
    found = walk(Search(precision=precision), lambda rate: rate <= limit)
    assert found.rate_per_s is not None
    assert limit / (1 + precision) / 1.000001 <= found.rate_per_s <= limit
    assert len(found.steps) < 25


def test_a_server_that_meets_every_rate_ends_the_search_at_the_highest() -> None:
    found = walk(Search(max_per_s=100.0), lambda rate: True)
    assert found.rate_per_s == 100.0
    assert "more may be possible" in found.reason


def test_a_server_that_meets_no_rate_is_said_so_with_the_reason() -> None:
    found = walk(Search(), lambda rate: False)
    assert found.rate_per_s is None
    assert "too slow" in found.reason
    assert min(s.rate_per_s for s in found.steps) == pytest.approx(2.0 / 2**4)


def test_a_rate_that_a_full_run_does_not_confirm_is_lowered_until_one_does() -> None:
    search = Search(precision=0.1)
    found = walk(search, lambda rate: rate <= 100, lambda rate: rate <= 85)
    assert found.rate_per_s is not None
    assert 85 / 1.1 < found.rate_per_s <= 85


def test_a_rate_that_is_never_confirmed_is_no_result() -> None:
    found = walk(Search(), lambda rate: rate <= 100, lambda rate: False)
    assert found.rate_per_s is None
    assert "did not confirm" in found.reason
    assert sum(s.confirmation for s in found.steps) == CONFIRMATIONS


def test_a_search_that_was_ended_says_why() -> None:
    state = RateSearch(Search())
    state.record(step(2.0, met=True))
    assert state.result("interrupted").reason == "interrupted"
    assert state.result("interrupted").rate_per_s is None
