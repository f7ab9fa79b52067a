"""Timed requests as a generator would hand them on, and the tally of many."""

from collections.abc import Iterable
from typing import Any

from assay.load.named_profiles import named_profile
from assay.load.profile import LoadProfile
from assay.load.samples import GeneratorRun, TimedRequest
from assay.load.summary import LoadSummary, Tally
from assay.records import AnswerStatus

RUN: dict[str, Any] = {"planned": 0, "sent": 0, "wall_s": 10.0, "cpu_s": 1.0, "most_in_flight": 4}


def answered(index: int, ttft_ms: float = 50.0, **changes: Any) -> TimedRequest:
    """An answer of 5 tokens, 10 ms apart, to a request meant for `index` hundredths of a second."""
    intended = changes.pop("intended_s", index / 100)
    gaps = changes.pop("gaps_ms", (10.0,) * 4)
    first = intended + ttft_ms / 1e3
    fields: dict[str, Any] = {
        "index": index, "case_id": f"c{index}", "request_id": f"r{index}", "intended_s": intended,
        "started_s": intended, "first_token_s": first, "ended_s": first + sum(gaps) / 1e3,
        "gaps_ms": gaps, "prompt_tokens": 20, "completion_tokens": 5, "status": AnswerStatus.OK,
    }  # fmt: skip
    return TimedRequest(**fields | changes)


def failed(index: int, kind: str, after_ms: float = 5.0, **changes: Any) -> TimedRequest:
    """A request without an answer."""
    intended = index / 100
    fields: dict[str, Any] = {
        "index": index, "case_id": f"c{index}", "request_id": f"r{index}", "intended_s": intended,
        "started_s": intended, "ended_s": intended + after_ms / 1e3, "status": AnswerStatus.ERROR,
        "error_kind": kind,
    }  # fmt: skip
    return TimedRequest(**fields | changes)


def summed(
    requests: Iterable[TimedRequest], profile: LoadProfile | None = None, **run: Any
) -> LoadSummary:
    """The summary of requests."""
    tally = Tally(profile or named_profile("quick"))
    for request in requests:
        tally.add(request)
    return tally.summary(GeneratorRun(**RUN | run))
