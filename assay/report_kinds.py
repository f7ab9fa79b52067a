"""What the kinds of findings are called in the report, and how each is drawn and read.

Decides headings, axes and plain words; which findings there are is the verdict's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from assay.records import Finding
from assay.report_numbers import words

ANCHOR = "/anchor"
"""Ends the metric of a comparison with the release that the policy pins, not with production."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How findings of one kind are headed, explained and drawn.

    `good` is the side of the limit on which a check passes; None where nothing is held against a
    limit. `reference` is where candidate and production are the same.
    """

    heading: str
    reading: str
    good: Literal["left", "right"] | None
    reference: float | None = None
    limit_word: str = "limit"
    limit_sign: int = 1


KINDS: Mapping[str, Kind] = {
    "non_inferiority": Kind(
        heading="Compared with production",
        reading="How far the candidate lies above or below production on the same cases, and how "
        "far below the policy lets it lie.",
        good="right",
        reference=0.0,
        limit_word="margin",
        limit_sign=-1,
    ),
    "floor": Kind(
        heading="Absolute floors",
        reading="The least the candidate must reach, whatever production does.",
        good="right",
        limit_word="floor",
    ),
    "limit": Kind(
        heading="Hard limits",
        reading="The most the policy tolerates, whatever production does.",
        good="left",
    ),
    "rate": Kind(
        heading="Compared with production",
        reading="How much more often it happens to the candidate than to production on the same "
        "questions, in percentage points.",
        good="left",
        reference=0.0,
        limit_word="margin",
    ),
    "ratio": Kind(
        heading="Compared with production",
        reading="The candidate’s time divided by production’s, measured side by side: 1 is just "
        "as fast.",
        good="left",
        reference=1.0,
        limit_word="at most",
    ),
    "noise_floor": Kind(
        heading="Production against itself",
        reading="Production timed twice in the same load. A ratio that lies in these ranges is not "
        "told from no change at all.",
        good="left",
        reference=1.0,
    ),
    "self_test": Kind(
        heading="Self-tests",
        reading="Whether the gate itself can be trusted on this run.",
        good=None,
    ),
    "information": Kind(heading="For information", reading="", good=None),
}


ANCHORED = (
    "How far the candidate lies above or below the release that the policy pins, so that many "
    "small losses cannot add up unseen."
)
_NAMES: Mapping[str, str] = {
    "macro": "Macro average",
    "ttft": "First token",
    "tpot": "Further tokens",
    "e2e": "Whole answer",
}

HEADINGS: Mapping[tuple[str, str], str] = {
    ("limit", "ms"): "Objectives",
    ("non_inferiority", "1"): "Parts of the set that decide, compared with production",
}
"""Headings of a kind where its unit says it better."""


def subject(finding: Finding) -> str:
    """Returns what a finding is about: its class, or its metric's own name."""
    if finding.label:
        return finding.label
    if finding.slice:
        return finding.slice.replace("_", " ", 1)
    name = finding.metric.removeprefix(f"{finding.evaluator}/").removesuffix(ANCHOR)
    return _NAMES.get(name) or _named(name)


def _named(name: str) -> str:
    """Returns `ttft_p99_ms` as “TTFT, p99”, and any other metric's name as words."""
    kind, found, share = name.removesuffix("_ms").partition("_p")
    if found and share.replace(".", "").isdigit():
        return f"{_NAMES.get(kind, kind)}, p{share}"
    return words(name)
