"""What a set is made of: every label of the task, in balance, and mostly a random sample.

Decides these three; structure (ids, blanks, copies) is `assay.golden_checks`'.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from assay.golden_health.health import Check, judged
from assay.golden_health.rules import HealthRules
from assay.golden_set import GoldenSet
from assay.wording import counted


def composition(golden: GoldenSet, labels: Sequence[str], rules: HealthRules) -> tuple[Check, ...]:
    """Returns the checks of labels, balance and strata."""
    core = Counter(case.label for case in golden.cases if case.stratum == "core")
    support = {label: core[label] for label in labels}
    return (_covers(support), _balance(support, rules), _strata(golden, sum(core.values()), rules))


def _covers(support: Mapping[str, int]) -> Check:
    without = [label for label, cases in support.items() if not cases]
    if not without:
        return judged(
            "labels/present", True, f"Each of the {len(support)} labels has core cases.", ""
        )
    return judged(
        "labels/present",
        False,
        f"{counted(len(without), 'label')} of the task ({', '.join(map(repr, without))}) have no "
        "core case, so nothing can be said about them.",
        "Add cases of them, or remove them from task.yaml.",
        value=len(without),
    )


def _balance(support: Mapping[str, int], rules: HealthRules) -> Check:
    present = {label: cases for label, cases in support.items() if cases}
    if not present:
        return judged("labels/balance", False, "There is no core case.", "Add core cases.")
    least = min(present, key=lambda label: present[label])
    most = max(present, key=lambda label: present[label])
    ratio = present[most] / present[least]
    if ratio == 1:
        return judged(
            "labels/balance",
            True,
            f"Each label that has core cases has {present[most]}.",
            "",
            value=1.0,
        )
    return judged(
        "labels/balance",
        ratio <= rules.largest_imbalance,
        f"`{most}` has {present[most]} core cases, `{least}` {present[least]}: {ratio:.2f} times "
        f"as many; up to {rules.largest_imbalance:g} are in balance.",
        f"Add cases of `{least}`: macro figures are as uncertain as their smallest class.",
        value=ratio,
    )


def _strata(golden: GoldenSet, core: int, rules: HealthRules) -> Check:
    share = core / golden.size
    return judged(
        "strata/core",
        share >= rules.least_core_share,
        f"{core} of {golden.size} cases ({share:.0%}) are core; at least "
        f"{rules.least_core_share:.0%} must be.",
        "Add randomly sampled cases to the core: cases chosen because a model erred flatter the "
        "next one.",
        value=share,
    )
