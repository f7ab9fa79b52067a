"""The findings as the report shows them: grouped, worded, and drawn on a shared scale.

Decides which findings stand together and on which axis each is drawn; what a finding says is its
evaluator's. A finding without an interval is a sentence without a picture.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from assay.records import Finding, FindingStatus
from assay.report_kinds import ANCHOR, ANCHORED, HEADINGS, KINDS, Kind, subject
from assay.report_numbers import MISSING, count, number, p_value, prose, signed, slug
from assay.report_strips import Scale, axis_svg, strip_svg

STATUS_WORDS = {
    FindingStatus.PASSED: "passed",
    FindingStatus.FAILED: "failed",
    FindingStatus.UNDECIDED: "undecided",
}

_URGENCY = {FindingStatus.FAILED: 0, FindingStatus.UNDECIDED: 1, FindingStatus.PASSED: 2}
_FOLD_BEYOND = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One finding, ready to be shown; `strip` is an inline SVG, empty where there is none."""

    subject: str
    status: str
    gating: bool
    candidate: str
    production: str
    difference: str
    limit: str
    n: str
    p: str
    sentence: Markup
    strip: Markup
    spoken: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Findings of one evaluator and kind, on one scale; `folded` where nobody needs to look."""

    id: str
    heading: str
    reading: str
    other: str
    limit_word: str
    rows: tuple[Row, ...]
    axis: Markup
    worse: str
    better: str
    difference_word: str
    number_word: str
    paired: bool
    compared: bool
    measured: bool
    folded: bool


def groups_of(findings: Sequence[Finding]) -> tuple[Group, ...]:
    """Groups an evaluator's findings by kind and unit; what failed comes first in its group.

    Findings about slices are left out: they belong to the slices' own table.
    """
    parts: dict[tuple[str, str, bool], list[Finding]] = {}
    for finding in findings:
        if not is_explored(finding):
            key = (_drawn_as(finding), finding.unit, finding.metric.endswith(ANCHOR))
            parts.setdefault(key, []).append(finding)
    return tuple(
        _group(
            *key,
            sorted(members, key=lambda finding: _URGENCY[finding.status]),
            may_fold=len(parts) > 1,
        )
        for key, members in parts.items()
    )


def explored_rows(findings: Sequence[Finding]) -> tuple[Row, ...]:
    """Returns the rows of the slices' table, in the order of the findings."""
    return tuple(_row(finding, KINDS["information"], None, "") for finding in findings)


def _drawn_as(finding: Finding) -> str:
    """A rate that is compared with nothing is a limit."""
    if finding.kind == "rate" and finding.difference is None:
        return "limit"
    return finding.kind if finding.kind in KINDS else "information"


def is_explored(finding: Finding) -> bool:
    """Whether a finding is about a slice and decides nothing."""
    return finding.slice is not None and not finding.gating


def tally(findings: Iterable[Finding]) -> dict[str, int]:
    """Counts gating findings: status word → how many."""
    counts = dict.fromkeys(STATUS_WORDS.values(), 0)
    for finding in findings:
        if finding.gating:
            counts[STATUS_WORDS[finding.status]] += 1
    return counts


def _group(
    kind_name: str, unit: str, anchored: bool, members: Sequence[Finding], *, may_fold: bool
) -> Group:
    kind = KINDS[kind_name]
    scale = _scale(kind, unit, members)
    name = slug(f"{members[0].evaluator}-{kind_name}-{unit}{'-anchor' if anchored else ''}")
    heading = HEADINGS.get((kind_name, unit), kind.heading)
    return Group(
        id=name,
        heading="Compared with the anchor release" if anchored else heading,
        reading=(ANCHORED if anchored else kind.reading) if scale else "",
        other="Anchor" if anchored else "Production",
        limit_word=kind.limit_word,
        rows=tuple(
            _row(finding, kind, scale, f"{name}-{index}") for index, finding in enumerate(members)
        ),
        axis=axis_svg(scale, name=f"{name}-axis") if scale else Markup(""),
        worse="worse" if kind.good == "right" else "better",
        better="better" if kind.good == "right" else "worse",
        difference_word="Ratio" if kind_name == "ratio" else "Difference",
        number_word="Cases" if unit == "F1" else "Out of",
        compared=any(finding.difference is not None for finding in members),
        paired=any(finding.production is not None for finding in members),
        measured=any(finding.candidate is not None for finding in members),
        folded=may_fold
        and kind_name == "floor"
        and len(members) > _FOLD_BEYOND
        and all(finding.status is FindingStatus.PASSED for finding in members),
    )


def _scale(kind: Kind, unit: str, members: Sequence[Finding]) -> Scale | None:
    """Returns the axis that holds every interval, point and limit, or None without an interval."""
    drawn = [finding for finding in members if finding.interval is not None]
    if not drawn or kind.good is None:
        return None
    values = [end for finding in drawn for end in finding.interval or ()]
    values += [limit for finding in drawn if (limit := _limit(finding, kind)) is not None]
    values += [value for finding in drawn if (value := _point(finding)) is not None]
    values += [] if kind.reference is None else [kind.reference]
    low, high = min(values), max(values)
    room = 0.08 * ((high - low) or abs(high) or 1.0)
    least = 0.0 if kind.reference is None and low >= 0 else low - room
    return Scale(low=least, high=high + room, unit=unit, reference=kind.reference)


def _row(finding: Finding, kind: Kind, scale: Scale | None, name: str) -> Row:
    ratio = kind.reference == 1.0
    strip = Markup("")
    if scale and finding.interval is not None:
        strip = strip_svg(
            scale,
            name=name,
            interval=finding.interval,
            point=_point(finding),
            limit=_limit(finding, kind),
            good=kind.good,
            status=STATUS_WORDS[finding.status],
        )
    difference = number if ratio else signed
    return Row(
        subject=subject(finding),
        status=STATUS_WORDS[finding.status],
        gating=finding.gating,
        candidate=number(finding.candidate, finding.unit),
        production=number(finding.production, finding.unit),
        difference=difference(finding.difference, "ratio" if ratio else finding.unit),
        limit=_limit_text(finding, kind),
        n=count(finding.n),
        p=p_value(finding.p),
        sentence=prose(finding.reason),
        strip=strip,
        spoken=_spoken(finding, kind),
    )


def _spoken(finding: Finding, kind: Kind) -> str:
    """Says what the picture shows."""
    if finding.interval is None:
        return ""
    low, high = (_on_axis(value, finding, kind) for value in finding.interval)
    if finding.margin is None:
        return f"between {low} and {high}"
    return f"between {low} and {high}; {kind.limit_word} {_limit_text(finding, kind)}"


def _on_axis(value: float, finding: Finding, kind: Kind) -> str:
    if kind.reference is None:
        return number(value, finding.unit)
    return number(value, "ratio") if kind.reference == 1.0 else signed(value, finding.unit)


def _point(finding: Finding) -> float | None:
    return finding.candidate if finding.difference is None else finding.difference


def _limit(finding: Finding, kind: Kind) -> float | None:
    return None if finding.margin is None else kind.limit_sign * finding.margin


def _limit_text(finding: Finding, kind: Kind) -> str:
    limit = _limit(finding, kind)
    return MISSING if limit is None else _on_axis(limit, finding, kind)
