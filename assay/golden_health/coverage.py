"""Whether a golden set covers what users send: the checks that rest on a sample of traffic.

Decides how comparisons (`drift`) become checks, and which of them decide (`follows_traffic`).
Labels of traffic are a model's answers, not the truth: they say what the model sees, and miss what
it always gets wrong.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from assay.golden_health.drift import Drift, Sample, detectable_share, drawn, drift
from assay.golden_health.health import Check, judged, unknown
from assay.golden_health.rules import HealthRules
from assay.golden_set import GoldenSet

ASPECTS = ("labels", "languages", "lengths", "words")


def core_sample(golden: GoldenSet) -> Sample:
    """Returns the core cases as a sample; without texts where only their digests are known."""
    core = [case for case in golden.cases if case.stratum == "core"]
    texts = [case.text for case in core if case.text is not None]
    return Sample(
        texts=texts if len(texts) == len(core) else None,
        labels=[case.label for case in core],
        languages=[case.lang for case in core],
    )


def coverage(
    golden: GoldenSet, traffic: Sample | None, rules: HealthRules
) -> tuple[tuple[Check, ...], tuple[Drift, ...]]:
    """Returns the checks of coverage, and the comparisons they rest on."""
    if traffic is None:
        says, action = "no sample of traffic was given.", "Name one with --traffic."
        return tuple(_unseen(aspect, says, action, rules) for aspect in ASPECTS), ()
    ours = core_sample(golden)
    holes = _holes(ours, traffic, rules)
    if ours.rows < 2 or traffic.rows < rules.least_traffic:
        says = (
            f"the set has {ours.rows} core cases and the sample {traffic.rows} rows; it takes "
            f"{rules.least_traffic} rows of traffic."
        )
        unseen = (_unseen(a, says, "Sample more traffic.", rules) for a in ASPECTS)
        return (*holes, *unseen), ()
    compared = drift(drawn(ours, rules.sampled, 1), drawn(traffic, rules.sampled, 2))
    of = {one.aspect: one for one in compared}
    checks = [
        _drift_check(of[aspect], len(compared), rules)
        if aspect in of
        else _unseen(aspect, "the set or the sample lacks it.", f"Export {aspect}.", rules)
        for aspect in ASPECTS
    ]
    return (*holes, *checks), compared


def _unseen(aspect: str, says: str, action: str, rules: HealthRules) -> Check:
    return unknown(
        f"traffic/{aspect}",
        f"Whether {aspect} still look like traffic is not known: {says}",
        action,
        gating=aspect in rules.follows_traffic,
    )


def _drift_check(found: Drift, tests: int, rules: HealthRules) -> Check:
    same = found.adjusted > rules.alpha
    smallest = detectable_share(found.rows, alpha=rules.alpha / tests)
    shown = (
        f"{found.method}, p = {found.adjusted:.3g} after Holm over {tests}; JS {found.js:.3f} "
        f"bits, PSI {found.psi:.2f}; {found.rows[0]} cases, {found.rows[1]} requests"
    )
    says = (
        f"The {found.aspect} of the core {'are not shown to differ' if same else 'differ'} from "
        f"traffic's ({shown}; shares that differ by {smallest:.2f} are usually found)."
    )
    gating = found.aspect in rules.follows_traffic
    action = f"Sample recent traffic at random into the core{_where(found)}."
    return replace(
        judged(f"traffic/{found.aspect}", same, says, action, value=found.js), gating=gating
    )


def _where(found: Drift) -> str:
    """Says which bin traffic has most too much of; words are left to the report."""
    if found.aspect == "words":
        return "; the report lists the words that tell them apart"
    gaps = [theirs - ours for ours, theirs in zip(found.golden, found.traffic, strict=True)]
    at = gaps.index(max(gaps))
    return (
        f": it has too few of {found.bins[at]!r} ({found.golden[at]:.0%} of the core, "
        f"{found.traffic[at]:.0%} of traffic)"
    )


def _holes(ours: Sample, traffic: Sample, rules: HealthRules) -> tuple[Check, ...]:
    """Returns whether each label and language that traffic has has a golden case at all."""
    checks = []
    for aspect, held, sent in (
        ("labels", ours.labels, traffic.labels),
        ("languages", ours.languages, traffic.languages),
    ):
        if held is None or sent is None:
            continue
        missing = _missing(held, sent, rules.least_share)
        checks.append(
            judged(
                f"traffic/{aspect}-covered",
                not missing,
                f"{len(missing)} {aspect} that make up {rules.least_share:.0%} of traffic or more "
                "have no core case" + (f": {', '.join(map(repr, missing))}." if missing else "."),
                "Sample and label such requests; until then the gate says nothing about them.",
                value=len(missing),
            )
        )
    return tuple(checks)


def _missing(held: Sequence[str], sent: Sequence[str], least: float) -> list[str]:
    counts = Counter(sent)
    return sorted(
        name for name, n in counts.items() if n >= least * len(sent) and name not in set(held)
    )
