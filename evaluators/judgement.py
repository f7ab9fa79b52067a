"""The judgement: from what was asked and answered to a verdict, as a pure function.

Decides whether the answers are complete enough to be judged, runs the policy's evaluators and
hands their findings to `assay.verdict`. The same inputs give the same bytes: the seed comes from
their digests, and nothing here reads a clock, a file or the network.

Answers that are missing, given twice or for cases nobody asked about make the verdict `invalid`: a
gate that dropped them would judge another set than the one it names. An evaluator that cannot
answer, or crashes, leaves one undecided finding, so its check never passes.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assay.errors import AssayError
from assay.golden_set import GoldenSet, golden_digest
from assay.policy import Policy
from assay.records import Finding, FindingStatus, Probe, Problem, Role, RunContext, Verdict
from assay.seeds import answers_digest, seed_from
from assay.task import Task
from assay.verdict import decide, next_steps, summarise
from evaluators.base import Evaluation, Evaluator, Inputs, Rules
from evaluators.completeness import (
    RawAnswers,
    check_answers,
    content_digests,
    counted_answers,
)
from evaluators.registry import build
from evaluators.release_rules import anchor_findings, freeze_findings

__all__ = ["Judgement", "RawAnswers", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, and each evaluator's tables for the report: evaluator → table name → value."""

    verdict: Verdict
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def judge(
    *,
    golden: GoldenSet,
    probes: tuple[Probe, ...],
    task: Task,
    policy: Policy,
    candidate: RawAnswers,
    production: RawAnswers | None,
    context: RunContext,
    only: tuple[str, ...] = (),
    anchor: RawAnswers | None = None,
) -> Judgement:
    """Judges a candidate's answers against production's and the policy.

    Args:
        golden: the golden set both models were asked.
        probes: the probes both models were asked; empty where none were.
        task: labels and reading.
        policy: the thresholds.
        candidate: its answers as read from files.
        production: the same of production, None where there is none.
        context: what the verdict states about its run; its problems make the verdict invalid, and
            those found here are added to them.
        only: judge these evaluators alone; such a verdict may not move an alias.
        anchor: the answers of the release that the policy pins, where it pins one.

    Raises:
        ConfigError: the policy names an unknown evaluator, option or class, or `only` an evaluator
            that the policy does not hold.
    """
    chosen = build(policy, task, only=only)
    raw = {Role.CANDIDATE: candidate} | ({Role.PRODUCTION: production} if production else {})
    checked = {
        role: check_answers(role, answers, golden, probes, task, policy, partial=bool(only))
        for role, answers in raw.items()
    }
    found = [problem for item in checked.values() for problem in item.problems]
    # A context read from a verdict states them already.
    problems = tuple(
        dict.fromkeys([*context.problems, *_baseline_problem(policy, production), *found])
    )
    notes = [note for item in checked.values() for note in item.notes]
    context = replace(
        context, problems=problems, notes=tuple(dict.fromkeys([*context.notes, *notes]))
    )
    seed = _seed(golden, policy, raw)
    inputs = Inputs(
        golden=golden,
        probes=probes,
        task=task,
        candidate=checked[Role.CANDIDATE].answers,
        production=checked[Role.PRODUCTION].answers if production else None,
        rules=Rules(
            alpha=policy.alpha,
            replicates=policy.replicates,
            stratum=policy.stratum,
            seed=seed,
            first_release=production is None,
            repeats=policy.repeats,
            noise_floor=policy.noise_floor,
        ),
    )
    # Numbers from answers that cannot be trusted are not computed, so nobody can quote them.
    judges = () if problems else chosen
    evaluations = {evaluator.name: _evaluated(evaluator, inputs) for evaluator in judges}
    findings = tuple(finding for item in evaluations.values() for finding in item.findings)
    if not problems:
        findings += freeze_findings(policy, context.started_at)
        findings += anchor_findings(policy, judges, inputs, anchor)
    kind = decide(findings, problems)
    verdict = Verdict(
        verdict=kind,
        summary=summarise(kind, findings, problems, context, only),
        findings=findings,
        next_steps=next_steps(
            kind,
            findings,
            problems,
            only,
            about_settings=context.production_engine is not None,
        ),
        inputs=_inputs(golden, probes, task, policy, raw, context)
        | ({"anchor_predictions": answers_digest(anchor.predictions)} if anchor else {}),
        metrics=_metrics(evaluations, inputs),
        seed=seed,
        only=only,
        context=context,
    )
    return Judgement(
        verdict=verdict, tables={name: item.tables for name, item in evaluations.items()}
    )


def _baseline_problem(policy: Policy, production: RawAnswers | None) -> list[Problem]:
    if production is not None or policy.first_release == "allow":
        return []
    return [
        Problem(
            where="production",
            reason="there is no production model to compare with, and the policy refuses a first "
            "release.",
            action="name a production version, or set `first_release: allow` in the policy to "
            "judge a first release by its absolute floors and limits alone.",
        )
    ]


def _evaluated(evaluator: Evaluator, inputs: Inputs) -> Evaluation:
    """Runs one evaluator; whatever goes wrong leaves one undecided finding and no number."""
    try:
        evaluation = evaluator.evaluate(inputs)
    except AssayError as error:
        return _undecided(evaluator.name, str(error))
    except Exception as error:  # an evaluator is a plug-in, and its crash is not a failed check
        return _undecided(evaluator.name, f"it crashed ({type(error).__name__}); report the defect")
    if not evaluation.findings:
        return _undecided(evaluator.name, "it returned no finding; expected at least one")
    if not all(map(math.isfinite, _numbers(evaluation))):
        return _undecided(evaluator.name, "it returned a number that is not finite")
    return evaluation


def _numbers(evaluation: Evaluation) -> Iterator[float]:
    for values in evaluation.metrics.values():
        yield from values.values()
    for found in evaluation.findings:
        stated = (found.candidate, found.production, found.difference, found.bound, found.margin)
        yield from (value for value in (*stated, *(found.interval or ())) if value is not None)


def _undecided(name: str, why: str) -> Evaluation:
    finding = Finding(
        evaluator=name,
        metric=name,
        kind="information",
        status=FindingStatus.UNDECIDED,
        reason=f"`{name}` could not judge: {why}",
    )
    return Evaluation(findings=(finding,), metrics={})


def _seed(golden: GoldenSet, policy: Policy, raw: Mapping[Role, RawAnswers]) -> int:
    production = raw.get(Role.PRODUCTION)
    return seed_from(
        [
            golden.digest,
            answers_digest(counted_answers(production.predictions, policy))
            if production
            else "none",
            answers_digest(counted_answers(raw[Role.CANDIDATE].predictions, policy)),
            policy.digest,
        ]
    )


def _inputs(
    golden: GoldenSet,
    probes: tuple[Probe, ...],
    task: Task,
    policy: Policy,
    raw: Mapping[Role, RawAnswers],
    context: RunContext,
) -> dict[str, str]:
    """Digests of everything the verdict depends on; what is computed here wins over the context."""
    computed = {"golden": golden.digest, "policy": policy.digest, "task": task.digest}
    if probes:
        computed["probes"] = golden_digest(probes)
    for role, answers in raw.items():
        computed |= {f"{role.value}_{k}": v for k, v in content_digests(answers).items()}
    artifacts = {
        f"{role}_artifact": ref.digest
        for role, ref in (("candidate", context.candidate), ("production", context.production))
        if ref is not None
    }
    return {**context.digests, **artifacts, **computed}


def _metrics(evaluations: Mapping[str, Evaluation], inputs: Inputs) -> dict[str, dict[str, float]]:
    return {
        role.value: {
            f"{name}/{key}": float(value)
            for name, evaluation in evaluations.items()
            for key, value in evaluation.metrics.get(role, {}).items()
        }
        for role in inputs.answers()
    }
