"""Lines of feedback and traffic."""

from typing import Any

import pytest

from assay.review.policy import ReviewPolicy
from assay.review.requests import Line, Rejected, join_requests, united
from tests.review_rig import LABELS, request

SECRET = "my cat is called Quill"


def line(number: int = 1, **changes: Any) -> Line:
    fields = {
        "request_id": "r1",
        "text": SECRET,
        "label": "joy",
        "signal": "thumbs_down",
        "time": "2026-11-23T10:00:00Z",
    }
    return f"f.jsonl:{number}", {k: v for k, v in (fields | changes).items() if v != "absent"}


def join(*lines: Line, signalled: bool = True, **policy: Any) -> Any:
    rules = ReviewPolicy.model_validate(policy)
    return join_requests(lines, labels=LABELS, policy=rules, signalled=signalled)


def test_signals_of_one_request_are_joined() -> None:
    (one,), rejected = join(line(1), line(2, signal="toxicity_filter"), line(3))
    assert one.signals == ("thumbs_down", "toxicity_filter")
    assert rejected == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": "hapiness"}, "label 'hapiness'; expected one of 'joy', 'anger', 'fear'"),
        ({"signal": "thumbsdown"}, "signal 'thumbsdown'; expected one of"),
        ({"signal": None}, "no signal; give feedback a signal"),
        ({"text": ""}, "text: String should have at least 1 character"),
        ({"text": "absent"}, "text: Field required"),
        ({"request_id": "a\nb"}, "request_id"),
        ({"time": "yesterday"}, "time"),
        ({"confidence": 1.5}, "confidence"),
        ({"sginal": "thumbs_down"}, "sginal: Extra inputs"),
    ],
)
def test_a_line_that_is_wrong_costs_no_other_and_its_text_is_not_quoted(
    changes: dict[str, Any], words: str
) -> None:
    found, (bad,) = join(line(1, **changes), line(2, request_id="r2", text="another"))
    assert [one.id for one in found] == ["r2"]
    assert bad.where == "f.jsonl:1"
    assert words in bad.why
    assert SECRET not in bad.why


def test_one_id_for_two_texts_is_refused() -> None:
    found, (bad,) = join(line(1), line(2, text="something else"))
    assert [one.text for one in found] == [SECRET]
    assert "given before with another text" in bad.why


def test_an_unreadable_line_is_handed_on() -> None:
    found, (bad,) = join(("f:1", Rejected(where="f:1", why="not UTF-8")))
    assert (found, bad.why) == ((), "not UTF-8")


def test_traffic_needs_no_signal_and_a_null_label_is_kept_as_none() -> None:
    (one,), _ = join(line(signal="absent", label=None), signalled=False)
    assert (one.signals, one.label) == ((), None)


def test_low_confidence_is_told_from_the_confidence_where_the_policy_says_so() -> None:
    lines = (
        line(1, signal=None, confidence=0.3),
        line(2, request_id="r2", signal=None, confidence=0.5),
    )
    found, _ = join(*lines, signalled=False, low_confidence_below=0.5)
    assert [one.signals for one in found] == [("low_confidence",), ()]


def test_a_time_without_a_zone_is_utc() -> None:
    (one,), _ = join(line(time="2026-11-23T10:00:00"))
    assert one.at.isoformat() == "2026-11-23T10:00:00+00:00"


def test_united_keeps_every_request_once_with_all_signals() -> None:
    found = united([request(2, "thumbs_down"), request(3, "thumbs_down")], [request(1), request(2)])
    assert [(one.id, one.signals) for one in found] == [
        ("req-0001", ()),
        ("req-0002", ("thumbs_down",)),
        ("req-0003", ("thumbs_down",)),
    ]
