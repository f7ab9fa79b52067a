"""How old a set is, and how far it has been spent by use.

Decides both. Each gate shows somebody how a candidate does on the set, and whoever picks the best
of many candidates picks luck with it (Blum & Hardt 2015, "The Ladder"). Among k equally good
candidates the best one's accuracy exceeds the truth by about σ √(2 ln k), where σ² = p (1 - p) / n;
that is told with p at one half, as the most it can be.
"""

import math
from collections.abc import Mapping
from datetime import date

from assay.golden_health.health import Check, judged, unknown
from assay.golden_health.rules import HealthRules
from assay.golden_set import GoldenSet
from assay.wording import counted


def luck(uses: int, cases: int) -> float:
    """Returns by how much the best of equally good candidates looks better than it is, at most."""
    return math.sqrt(2 * math.log(max(uses, 1)) * 0.25 / cases)


def use_check(uses: int | None, golden: GoldenSet, rules: HealthRules) -> Check:
    """Returns whether the set is spent; `uses` is None where the ledger was not asked."""
    if uses is None:
        return unknown(
            "wear/uses",
            "How often this version of the set was used is not known: no ledger was read.",
            "Name the model with --model, so that its gates are counted in the registry.",
        )
    told = (
        f" The best of so many equal candidates looks up to {luck(uses, golden.size):.3f} more "
        "accurate than it is, by luck alone."
        if uses > 1
        else ""
    )
    return judged(
        "wear/uses",
        uses <= rules.most_uses,
        f"{counted(uses, 'gate')} used this version of the set; up to {rules.most_uses} are "
        f"expected.{told}",
        "Add freshly sampled cases and publish a new version of the set.",
        value=uses,
    )


def age_check(
    golden: GoldenSet, dates: Mapping[str, date], today: date, rules: HealthRules
) -> Check:
    """Returns whether anything was added lately.

    Args:
        golden: the set.
        dates: version of the set → day it came to be, as far as known.
        today: the day of the check, UTC.
        rules: the thresholds.
    """
    versions = {case.added_in for case in golden.cases}
    known = {version: dates[version] for version in versions if version in dates}
    if not known:
        return unknown(
            "wear/age",
            f"When the cases were added is not known: {counted(len(versions), 'version')} "
            "without a date.",
            "Check the set in a clone of its Git repository that has its history.",
        )
    newest = max(known, key=lambda version: known[version])
    days = (today - known[newest]).days
    undated = len(versions) - len(known)
    rest = f" ({counted(undated, 'version')} without a date)" if undated else ""
    return judged(
        "wear/age",
        days <= rules.most_days,
        f"Cases were last added in {newest}, {counted(days, 'day')} ago{rest}; up to "
        f"{rules.most_days} are expected.",
        "Sample recent traffic, have it labelled, and add it to the core.",
        value=days,
    )
