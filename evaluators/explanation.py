"""A policy in plain sentences, and what it can never be satisfied with.

Decides how a policy is read aloud before any model is served: what must hold for a promotion, what
blocks, and where the golden set is too small for the question. An evaluator that does not explain
its options itself is explained by the descriptions in its docstring.
"""

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from assay.golden_set import GoldenSet
from assay.policy import Policy
from assay.task import Task
from assay.wording import counted
from evaluators.base import Evaluator, Rules
from evaluators.registry import build


def explain(policy: Policy, task: Task) -> list[str]:
    """Returns what the policy asks, in sentences for a release manager.

    Raises:
        ConfigError: the policy names an unknown evaluator, option or class.
    """
    sure = f"{100 * (1 - policy.alpha):g} %"
    production = {
        "refuse": "Without a production model nothing is judged: a first release is refused.",
        "allow": "Without a production model a first release is judged by floors and limits alone.",
    }
    sentences = [
        f"A version is promoted only if every check below is shown to hold with {sure} confidence; "
        "what is not shown either way is inconclusive, and never promoted.",
        production[policy.first_release],
        f"Only cases of the stratum `{policy.stratum}` decide; the others are reported.",
        *_times_asked(policy),
        f"A run in which more than {policy.max_unanswered_rate:.2%} of the questions got no answer "
        "is invalid.",
        f"Verdicts computed on {' or '.join(policy.backends_that_may_promote)} may move an alias.",
        "The same candidate, production, golden set, policy, task and serving are judged once: "
        "asking again returns the recorded verdict, unless that was invalid or of an endpoint, "
        "where nobody knows what will answer.",
        *general_rules(policy),
    ]
    for evaluator in build(policy, task):
        sentences += [f"{evaluator.name}: {text}" for text in _explained(evaluator)]
    return sentences


def _times_asked(policy: Policy) -> list[str]:
    sentences = []
    if policy.repeats > 1:
        sentences.append(
            f"Each golden case is asked {policy.repeats} times of each model; its answers are one "
            "case, not several."
        )
    if policy.noise_floor:
        sentences.append(
            "How often production disagrees with itself when asked twice is shown beside how often "
            "the candidate disagrees with it."
        )
    return sentences


def general_rules(policy: Policy) -> list[str]:
    """Returns what the policy's freeze, error budget and anchor mean."""
    sentences = []
    if policy.freeze:
        sentences.append("Releases are frozen: every candidate is blocked, save by an override.")
    for window in policy.freeze_windows:
        sentences.append(
            f"Releases are frozen from {window.start} until {window.until}: {window.reason}."
        )
    budget = policy.error_budget
    if budget is not None:
        sentences.append(
            f"More than {counted(budget.allowed, 'incident')} of production in "
            f"{counted(budget.window_days, 'day')} block every candidate, save by an override; "
            f"{len(budget.incidents)} on record."
        )
    if policy.anchor is not None:
        anchor = policy.anchor
        sentences.append(
            f"However many releases lie between, no class may be worse than release "
            f"{anchor.version} by {anchor.margin:g}, nor the macro by {anchor.macro_margin:g}."
        )
    return sentences


def power_warnings(policy: Policy, task: Task, golden: GoldenSet) -> list[str]:
    """Returns where the golden set can never, or hardly ever, satisfy the policy.

    Raises:
        ConfigError: the policy names an unknown evaluator, option or class.
    """
    rules = Rules(
        alpha=policy.alpha,
        replicates=policy.replicates,
        stratum=policy.stratum,
        seed=0,
        first_release=False,
    )
    found = []
    for evaluator in build(policy, task):
        found += [f"{evaluator.name}: {text}" for text in evaluator.warnings(golden, rules)]
    return found


def _explained(evaluator: Evaluator) -> tuple[str, ...]:
    own = evaluator.explain()
    if own:
        return own
    described = option_descriptions(type(evaluator))
    return tuple(
        f"{field.name} is {_shown(getattr(evaluator, field.name))}: {described[field.name]}"
        for field in fields(evaluator)
        if field.name in described
    )


def option_descriptions(kind: type[Evaluator]) -> Mapping[str, str]:
    """Returns the `Args:` of an evaluator's docstring: option → description on one line."""
    _, _, section = (inspect.getdoc(kind) or "").partition("Args:\n")
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \w+:)", section.split("\n\n")[0]):
        name, _, text = entry.strip().partition(":")
        found[name] = " ".join(text.split())
    return found


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item:g}" for key, item in value.items()) or "not set"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
