"""Splitting a stream by hand gives the same times and counts however the bytes are cut."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.adapters.chat_wire import MAX_ANSWER_BYTES, Failure, Timing
from assay.adapters.sse import StreamedAnswer


def event(**chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def token(words: str) -> bytes:
    return event(choices=[{"delta": {"content": words}}])


def stream(words: list[str]) -> bytes:
    opening = event(choices=[{"delta": {"role": "assistant", "content": ""}}])
    usage = event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": len(words)})
    return opening + b"".join(map(token, words)) + usage + b": comment\n\ndata: [DONE]\n\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6), st.lists(st.integers(0, 5000)))
def test_the_first_word_is_timed_wherever_the_bytes_are_cut(
    words: list[str], places: list[int]
) -> None:
    answer = StreamedAnswer()
    data, position, arrived = stream(words), 0, [-1] * len(words)
    opening = data.index(token(words[0]))
    ends = [opening + len(b"".join(map(token, words[: i + 1]))) for i in range(len(words))]
    for clock, part in enumerate(cut(data, places)):
        answer.feed(part, float(clock))
        position += len(part)
        # An event ends with its line; the blank line after it adds nothing.
        arrived = [
            clock if at < 0 and position >= end - 1 else at
            for at, end in zip(arrived, ends, strict=True)
        ]
    assert min(arrived) >= 0
    outcome = answer.finish(0.0, 100.0)
    assert outcome == Timing(
        ttft_ms=arrived[0] * 1e3,
        e2e_ms=100e3,
        prompt_tokens=5,
        completion_tokens=len(words),
        gaps_ms=tuple((b - a) * 1e3 for a, b in itertools.pairwise(arrived)),
    )


@pytest.mark.parametrize("usage", ["", ', "usage": null', ', "usage": {"prompt_tokens": 5}'])
def test_events_with_words_are_pieces_of_the_answer_whatever_else_they_hold(usage: str) -> None:
    answer = StreamedAnswer()
    answer.feed(token("a"), 1.0)
    for clock in (2.0, 4.0):
        event_text = f'data: {{"choices": [{{"delta": {{"content": "b"}}}}]{usage}}}\n\n'
        answer.feed(event_text.encode(), clock)
    answer.feed(event(choices=[{"delta": {"content": ""}, "finish_reason": "stop"}]), 5.0)
    answer.feed(b"data: [DONE]\n\n", 6.0)
    outcome = answer.finish(0.0, 6.0)
    assert isinstance(outcome, Timing)
    assert outcome.gaps_ms == (1000.0, 2000.0)
    assert outcome.prompt_tokens == (5 if "{" in usage else None)


def test_words_that_look_like_usage_are_only_words() -> None:
    answer = StreamedAnswer()
    answer.feed(stream(["a", '"usage": {"prompt_tokens": 99}', '{"error": 1}']), 1.0)
    outcome = answer.finish(0.0, 2.0)
    assert isinstance(outcome, Timing)
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (5, 3)


def test_a_stream_without_words_has_no_first_token() -> None:
    answer = StreamedAnswer()
    answer.feed(stream([]), 1.0)
    outcome = answer.finish(0.0, 2.0)
    assert isinstance(outcome, Timing)
    assert outcome.ttft_ms is None


def test_windows_line_ends_are_line_ends() -> None:
    answer = StreamedAnswer()
    answer.feed(stream(["joy"]).replace(b"\n", b"\r\n"), 1.0)
    assert isinstance(answer.finish(0.0, 2.0), Timing)


def test_an_error_after_the_first_word_breaks_the_answer() -> None:
    answer = StreamedAnswer()
    answer.feed(token("joy") + event(error={"message": "engine died"}) + b"data: [DONE]\n\n", 1.0)
    assert answer.finish(0.0, 2.0) == Failure(kind="broken")


def test_what_is_not_the_protocol_is_garbage() -> None:
    answer = StreamedAnswer()
    answer.feed(b"data: {]\n\n", 1.0)
    assert answer.finish(0.0, 2.0) == Failure(kind="garbage")


def test_an_endless_stream_is_cut_off() -> None:
    answer = StreamedAnswer()
    line = b"data: " + b"x" * 1000
    for _ in range(MAX_ANSWER_BYTES // len(line) + 1):
        answer.feed(line, 1.0)
    assert answer.failure == Failure(kind="garbage")
