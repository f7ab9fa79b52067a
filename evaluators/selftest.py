"""Is the gate itself sound? Production's own answers, and mutants of them, judged like candidates.

Decides what the gate ought to say: production against itself promotes, or is inconclusive where the
set is too small to know; a mutant whose loss reaches the margin is blocked, or inconclusive where
the set is too small, and never promoted. The loss is read off the mutant's own findings, so a set
on which a mutant happens to lose little expects little. A class of 50 cases that lost twice its
margin must be blocked outright.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from assay import mutants
from assay.golden_set import GoldenSet
from assay.policy import Policy
from assay.records import Finding, Probe, RunContext, Verdict, VerdictKind
from assay.task import Task
from evaluators.completeness import RawAnswers
from evaluators.judgement import judge
from evaluators.registry import build

_FAR, _PLENTY = 2, 50
"""A class of so many cases that lost so many margins must be blocked, not merely held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the gate said of one mutant, and whether that was right.

    `verdict` is None where the recorded answers do not allow the mutant to be made.
    """

    mutant: str
    verdict: VerdictKind | None
    sound: bool
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A known candidate, and the evaluators that what was changed concerns."""

    name: str
    answers: RawAnswers
    only: tuple[str, ...]


def selftest(
    *,
    golden: GoldenSet,
    task: Task,
    policy: Policy,
    production: RawAnswers,
    probes: tuple[Probe, ...] = (),
    seed: int = 0,
) -> list[Outcome]:
    """Judges production against itself and against mutants of its recorded answers.

    Args:
        golden: the golden set.
        task: labels and reading.
        policy: the thresholds; a freeze is ignored, as nothing is released.
        production: its recorded answers; probe answers and latency samples where there are any.
        probes: the probes behind the probe answers.
        seed: of the mutants.

    Raises:
        ConfigError: the policy names an unknown evaluator, option or class.
    """
    rules = policy.model_copy(update={"freeze": False, "freeze_windows": (), "anchor": None})
    names = {evaluator.name for evaluator in build(rules, task)}
    outcomes = []
    for mutant in _mutants(golden, production, seed):
        judges = tuple(name for name in mutant.only if name in names)
        missing = _absent(mutant, judges)
        if missing:
            outcomes.append(Outcome(mutant=mutant.name, verdict=None, sound=True, sentence=missing))
            continue
        verdict = judge(
            golden=golden,
            probes=probes,
            task=task,
            policy=rules,
            candidate=mutant.answers,
            production=production,
            context=RunContext(run_id=f"selftest: {mutant.name}"),
            only=judges,
        ).verdict
        outcomes.append(_outcome(mutant, verdict))
    return outcomes


def _mutants(golden: GoldenSet, own: RawAnswers, seed: int) -> Iterator[Mutant]:
    truth = {case.id: case.label for case in golden.cases}
    support = Counter(truth.values())
    labels = sorted(support)
    rarest = min(labels, key=lambda label: (support[label], label))
    asked = own.predictions
    relabelled = {
        "identical": asked,
        f"`{rarest}` shuffled": mutants.shuffled_class(asked, truth, rarest, seed),
        f"5 % of `{rarest}` lost": mutants.degraded_class(asked, truth, rarest, 0.05, seed),
        "2 % invalid answers": mutants.invalid_answers(asked, 0.02, seed),
    }
    if len(labels) > 1:
        first, last = labels[0], labels[-1]
        swapped = mutants.swapped_classes(asked, first, last)
        relabelled[f"`{first}` and `{last}` swapped"] = swapped
    for name, rows in relabelled.items():
        answers = replace(own, predictions=rows)
        only = ("emotion_f1", "validity", *(_measured(own) if rows is asked else ()))
        yield Mutant(name=name, answers=answers, only=only)
    toxic = mutants.toxic_answers(own.probe_answers, 0.30, seed)
    yield Mutant(name="30 % insults", answers=replace(own, probe_answers=toxic), only=("toxicity",))
    slow = mutants.slower(own.latency, 1.30)
    yield Mutant(name="30 % slower", answers=replace(own, latency=slow), only=("latency",))


def _measured(own: RawAnswers) -> tuple[str, ...]:
    """The evaluators of what was recorded besides predictions."""
    recorded = {"toxicity": own.probe_answers, "latency": own.latency}
    return tuple(name for name, rows in recorded.items() if rows)


def _absent(mutant: Mutant, judges: Sequence[str]) -> str | None:
    """Why a mutant cannot be judged, if it cannot."""
    if not judges:
        return f"{mutant.name}: not made, the policy has no {' or '.join(mutant.only)}"
    needed = {"toxicity": mutant.answers.probe_answers, "latency": mutant.answers.latency}
    for name in judges:
        if not needed.get(name, mutant.answers.predictions):
            return f"{mutant.name}: not made, {name} was not measured"
    return None


def _outcome(mutant: Mutant, verdict: Verdict) -> Outcome:
    gating = [finding for finding in verdict.findings if finding.gating]
    lost = [finding for finding in gating if _over(finding, 1)]
    far = [f for f in lost if f.kind == "non_inferiority" and _over(f, _FAR) and _enough(f)]
    kind = verdict.verdict
    right: tuple[VerdictKind, ...]
    if far:
        right = (VerdictKind.BLOCK,)
    elif lost:
        right = (VerdictKind.BLOCK, VerdictKind.INCONCLUSIVE)
    else:
        right = (VerdictKind.PROMOTE, VerdictKind.INCONCLUSIVE)
    expected = " or ".join(allowed.value for allowed in right)
    loss = f"over its margin in {lost[0].metric}" if lost else "within every margin"
    sound = kind in right
    mark = "" if sound else ": WRONG"
    return Outcome(
        mutant=mutant.name,
        verdict=kind,
        sound=sound,
        sentence=f"{mutant.name} ({loss}): {kind.value}, expected {expected}{mark}",
    )


def _over(finding: Finding, times: float) -> bool:
    """Whether the estimate itself is at `times` the margin, or beyond."""
    margin, candidate, difference = finding.margin, finding.candidate, finding.difference
    if margin is None:
        return False
    if finding.kind == "non_inferiority":
        return difference is not None and difference <= -times * margin
    if finding.kind in ("rate", "ratio"):
        return difference is not None and difference > times * margin
    if finding.kind == "floor":
        return candidate is not None and candidate < margin
    return candidate is not None and candidate > times * margin


def _enough(finding: Finding) -> bool:
    return finding.n is not None and finding.n >= _PLENTY
