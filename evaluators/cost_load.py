"""What a request and a million tokens cost on a machine that is paid by the hour.

Decides the findings, metrics and tables of `cost` that rest on the timed load; leaves arithmetic
to `assay.engine_price` and the prices to the policy.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.engine_price import Bounded, Throughput, price_of, price_ratio
from assay.errors import TooFewCasesError
from assay.records import Finding, FindingStatus, Role
from assay.seeds import stream
from evaluators.base import Rules
from evaluators.limits import held_against

_NAME = "cost"
_WHAT = {"per_request": "A request", "per_million_tokens": "A million tokens"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the policy says about the machine's price; 0 asks nothing."""

    price_per_hour: float
    per_request: float
    per_million_tokens: float
    max_ratio: float
    expected_requests_per_s: float


def prices(load: Throughput, budget: Budget, rules: Rules) -> dict[str, Bounded]:
    """Returns the prices that can be had: tokens have one where every answer's were counted."""
    done = {"per_request": load.requests}
    if load.tokens is not None:
        done["per_million_tokens"] = load.tokens / 1e6
    return {
        name: price_of(
            budget.price_per_hour,
            counts,
            load.seconds,
            alpha=rules.alpha,
            replicates=rules.replicates,
            seed=stream(rules.seed, _NAME, name),
        )
        for name, counts in done.items()
    }


def load_findings(loads: Mapping[Role, Throughput], budget: Budget, rules: Rules) -> list[Finding]:
    """Holds the candidate's prices against the budgets and against production's."""
    candidate, production = loads[Role.CANDIDATE], loads.get(Role.PRODUCTION)
    ours = prices(candidate, budget, rules)
    theirs = {} if production is None else prices(production, budget, rules)
    limits = {"per_request": budget.per_request, "per_million_tokens": budget.per_million_tokens}
    findings = [
        _limit(name, limit, ours.get(name), theirs.get(name), len(candidate.requests))
        for name, limit in limits.items()
        if limit
    ]
    if production is not None and budget.max_ratio:
        findings.append(_ratio(candidate, production, ours, theirs, budget, rules))
    return findings


def load_metrics(load: Throughput, budget: Budget, rules: Rules) -> dict[str, float]:
    """Returns one model's prices and rates, and what the expected traffic would leave idle."""
    found = {name: one.value for name, one in prices(load, budget, rules).items()}
    found["requests_per_s"] = load.requests_per_s
    if load.tokens_per_s is not None:
        found["tokens_per_s"] = load.tokens_per_s
    if budget.expected_requests_per_s:
        machines = math.ceil(budget.expected_requests_per_s / load.requests_per_s)
        found["machines"] = float(machines)
        found["idle_share"] = 1 - budget.expected_requests_per_s / (machines * load.requests_per_s)
        found["per_request_expected"] = (
            machines * budget.price_per_hour / 3600 / budget.expected_requests_per_s
        )
    return found


def load_rows(metrics: Mapping[Role, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Returns the figures of both models side by side."""
    names = dict.fromkeys(name for values in metrics.values() for name in values)
    return [
        {"": _WORDS[name], **{role.value: values.get(name) for role, values in metrics.items()}}
        for name in names
        if name in _WORDS
    ]


_WORDS: Mapping[str, str] = {
    "per_request": "A request, at the rate of this load",
    "per_million_tokens": "A million tokens, at the rate of this load",
    "requests_per_s": "Requests a second",
    "tokens_per_s": "Tokens a second",
    "machines": "Machines that the expected traffic takes",
    "idle_share": "Share of them that is idle",
    "per_request_expected": "A request, at the expected traffic",
}


def _limit(
    name: str, limit: float, ours: Bounded | None, theirs: Bounded | None, blocks: int
) -> Finding:
    if ours is None:
        return Finding(
            evaluator=_NAME,
            metric=f"{_NAME}/{name}",
            kind="limit",
            status=FindingStatus.UNDECIDED,
            reason=f"{_WHAT[name]} has no price: the engine did not count the tokens of every "
            "timed answer.",
            margin=limit,
            unit="money",
        )
    status, relation = held_against(ours.lower, ours.upper, limit)
    return Finding(
        evaluator=_NAME,
        metric=f"{_NAME}/{name}",
        kind="limit",
        status=status,
        reason=f"{_WHAT[name]} costs {ours.value:.4g} at the rate of this load, at most "
        f"{ours.upper:.4g}: {relation} the budget {limit:g}.",
        candidate=ours.value,
        production=None if theirs is None else theirs.value,
        interval=(ours.lower, ours.upper),
        bound=ours.lower if status is FindingStatus.FAILED else ours.upper,
        margin=limit,
        n=blocks,
        unit="money",
    )


def _ratio(
    candidate: Throughput,
    production: Throughput,
    ours: Mapping[str, Bounded],
    theirs: Mapping[str, Bounded],
    budget: Budget,
    rules: Rules,
) -> Finding:
    try:
        found = price_ratio(
            candidate,
            production,
            alpha=rules.alpha,
            replicates=rules.replicates,
            seed=stream(rules.seed, _NAME, "ratio"),
        )
    except TooFewCasesError as error:
        return Finding(
            evaluator=_NAME,
            metric=f"{_NAME}/per_request",
            kind="ratio",
            status=FindingStatus.UNDECIDED,
            reason=f"The price of a request was not compared with production's: {error}.",
            margin=budget.max_ratio,
            unit="money",
        )
    status, relation = held_against(found.lower, found.upper, budget.max_ratio)
    return Finding(
        evaluator=_NAME,
        metric=f"{_NAME}/per_request",
        kind="ratio",
        status=status,
        reason=f"A request costs {found.value:.3f} times production's at the rates of this load, "
        f"between {found.lower:.3f} and {found.upper:.3f} times: {relation} {budget.max_ratio:g} "
        "times.",
        candidate=ours["per_request"].value,
        production=theirs["per_request"].value,
        difference=found.value,
        interval=(found.lower, found.upper),
        bound=found.lower if status is FindingStatus.FAILED else found.upper,
        margin=budget.max_ratio,
        n=len(candidate.requests),
        unit="money",
    )


def no_load(roles: Sequence[Role]) -> TooFewCasesError:
    """Says that the price of a machine needs a timed load."""
    named = " and ".join(role.value for role in roles)
    return TooFewCasesError(
        f"price_per_hour is set, and {named} was not timed; expected the load of `latency` in the "
        "same policy; add it, or remove price_per_hour"
    )
