"""What tests of review export share: requests, golden cases, and a pool made of them."""

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from assay import digests
from assay.records import AnswerStatus, GoldenCase, Prediction
from assay.review.admission import Admission, Asked
from assay.review.policy import ReviewPolicy
from assay.review.requests import Request
from assay.review.selection import Pool, Selection, select
from assay.review.work_orders import WorkOrder

LABELS = ("joy", "anger", "fear")
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def words(seed: object) -> str:
    """Eight words that no other seed has."""
    chance = random.Random(str(seed))
    return " ".join("".join(chance.choices("aeioulmnrst", k=6)) for _ in range(8))


def request(number: int, *signals: str, **changes: Any) -> Request:
    """A request; its label follows from its number."""
    settled: dict[str, Any] = {
        "id": f"req-{number:04}",
        "text": words(number),
        "label": LABELS[number % 3],
        "signals": tuple(sorted(signals)),
        "at": MONDAY,
        "lang": "en",
    }
    return Request(**(settled | changes))


def golden_case(number: int, **changes: Any) -> GoldenCase:
    """A golden case; its label follows from its number."""
    text = changes.pop("text", words(f"golden {number}"))
    settled: dict[str, Any] = {
        "id": f"case-{number:03}",
        "text": text,
        "text_sha256": digests.text_sha256(text),
        "label": LABELS[number % 3],
        "lang": "en",
        "source": "handwritten",
        "stratum": "core",
        "slices": (),
        "added_in": "1.0.0",
    }
    return GoldenCase(**(settled | changes))


def answer(
    case: GoldenCase, label: str | None, logprobs: Mapping[str, float] | None = None
) -> Prediction:
    """A model's answer to a golden case."""
    status = AnswerStatus.INVALID if label is None else AnswerStatus.OK
    return Prediction(
        case_id=case.id, label=label, status=status, raw=label or "?", label_logprobs=logprobs
    )


def pool(
    *,
    traffic: Iterable[Request] = (),
    feedback: Iterable[Request] = (),
    golden: Iterable[GoldenCase] = (),
    doubts: Mapping[str, tuple[str, ...]] | None = None,
    orders: tuple[WorkOrder, ...] = (),
) -> Pool:
    """A pool in which every golden case without a doubt is sound."""
    cases = tuple(golden)
    doubted = {name for names in (doubts or {}).values() for name in names}
    return Pool(
        traffic=tuple(traffic),
        feedback=tuple(feedback),
        golden=cases,
        doubts=doubts or {},
        sound=frozenset(case.id for case in cases) - doubted,
        orders=orders,
        answers={case.id: answer(case, case.label) for case in cases},
        version="emotion@1.0.0",
    )


def draw(offered: Pool, *, seed: int = 7, asked: Asked | None = None, **changes: Any) -> Selection:
    """Selects from a pool by a policy with these settings."""
    policy = ReviewPolicy.model_validate(changes)
    admission = Admission(policy=policy, asked=asked or Asked(), model_version="production")
    admission.know_golden(offered.golden)
    return select(offered, policy, admission, seed)
