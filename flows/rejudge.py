"""Verdicts from files alone: replay, proof and self-test, without a server.

Decides which files make up a judgement and what "the same verdict" means (the same bytes); the
judgement itself is `evaluators.judgement`. A golden or predictions file that is not one makes the
verdict `invalid`, with the place and the fault as its problem.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

from assay import evidence, refusal
from assay.documents import parse_json, read_text
from assay.engine_samples import read_engine_samples
from assay.errors import ArtifactError, ConfigError
from assay.golden_set import load_golden, load_probes
from assay.policy import load_policy
from assay.predictions import read_latency, read_predictions
from assay.records import Problem, Role, RunContext, Verdict, VerdictKind
from assay.task import Task, load_task
from assay.verdict import verdict_bytes
from assay.verdict_document import verdict_from_json
from evaluators import registry
from evaluators.judgement import Judgement, RawAnswers, judge
from flows.conclude import tool_versions

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """One model's files; None where there is none."""

    predictions: Path | None = None
    probe_answers: Path | None = None
    latency: Path | None = None
    engine_samples: Path | None = None
    latency_again: Path | None = None

    @property
    def beside(self) -> bool:
        """Whether anything but predictions is named."""
        return any((self.probe_answers, self.latency, self.engine_samples, self.latency_again))


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files of one judgement; the names are those of the command line's flags."""

    golden: Path
    policy: Path
    task: Path
    candidate: ModelFiles
    production: ModelFiles = ModelFiles()
    anchor: Path | None = None
    probes: Path | None = None
    context: Path | None = None


def judge_files(files: Files, only: Sequence[str] = ()) -> Judgement:
    """Judges stored predictions.

    Args:
        files: what to judge.
        only: names of the evaluators to judge; empty for all of the policy's.

    Raises:
        ConfigError: the policy, the task or the context is wrong, `only` names an evaluator that
            the policy does not, or files are named that need another one.
    """
    _check_flags(files)
    policy, task = load_policy(files.policy), load_task(files.task)
    registry.build(policy, task, only=tuple(only), where=str(files.policy))
    context = _context(files)
    try:
        golden = load_golden(files.golden, task.labels)
        probes = load_probes(files.probes) if files.probes else ()
        candidate = read_answers(files.candidate)
        production = (
            None if files.production.predictions is None else read_answers(files.production)
        )
        anchor = (
            None if files.anchor is None else read_answers(ModelFiles(predictions=files.anchor))
        )
    except ConfigError as error:
        problem = Problem(
            where="input files", reason=str(error), action="Correct the file, then judge again."
        )
        return Judgement(
            verdict=refusal.unmeasured(replace(context, problems=(problem,))), tables={}
        )
    return judge(
        golden=golden,
        probes=probes,
        task=task,
        policy=policy,
        candidate=candidate,
        production=production,
        context=context,
        only=tuple(only),
        anchor=anchor,
    )


def _check_flags(files: Files) -> None:
    """Refuses answers that could only be passed over in silence."""
    production = files.production
    if production.predictions is None and production.beside:
        raise ConfigError(
            "--production-probes and --production-latency need --production, which is missing; "
            "give production's predictions too, or leave them out"
        )
    if files.probes is None and (files.candidate.probe_answers or production.probe_answers):
        raise ConfigError(
            "--candidate-probes and --production-probes need --probes, which is missing; give the "
            "probes that were asked"
        )


def verify_evidence(folder: Path) -> Verdict:
    """Proves that an evidence folder is unaltered and that its verdict follows from it.

    Raises:
        ArtifactError: a file was changed since it was sealed, or the verdict does not follow.
        ConfigError: the folder is not a finished evidence folder.
    """
    sealed_files(folder)
    path = folder / "verdict.json"
    verdict = verdict_from_json(parse_json(read_text(path), str(path)), str(path))
    stored = path.read_bytes()
    derived = rederive(folder, verdict).verdict
    if verdict_bytes(derived) != stored:
        raise ArtifactError(
            f"{folder}: the stored verdict {verdict.verdict.value!r} does not follow from the "
            f"evidence, which gives {derived.verdict.value!r} (judged with "
            f"{_versions(tool_versions())}, stored with {_versions(verdict.context.tools)}); "
            "judge with the stored versions before you conclude that it was altered"
        )
    return verdict


def rederive(folder: Path, stored: Verdict) -> Judgement:
    """Judges an evidence folder anew; `stored` tells a refused artifact from a measured one."""
    if (folder / Role.CANDIDATE.value / "predictions.jsonl").exists():
        return judge_files(evidence_files(folder), stored.only)
    context = evidence.read_context(folder / "run.json")
    if stored.verdict is VerdictKind.BLOCK and stored.findings:
        return Judgement(verdict=refusal.rejected(context, stored.findings[0].reason), tables={})
    return Judgement(verdict=refusal.unmeasured(context), tables={})


def evidence_files(folder: Path) -> Files:
    """Returns the files of a judgement as an evidence folder holds them."""
    probes = folder / "probes_index.jsonl"
    anchor = folder / evidence.ANCHOR / "predictions.jsonl"
    return Files(
        golden=folder / "golden_index.jsonl",
        policy=folder / "policy.yaml",
        task=folder / "task.yaml",
        candidate=model_files(folder / Role.CANDIDATE.value),
        production=model_files(folder / Role.PRODUCTION.value),
        anchor=anchor if anchor.exists() else None,
        probes=probes if probes.exists() else None,
        context=folder / "run.json",
    )


def run_selftest(files: Files) -> tuple[list[str], bool]:
    """Judges known mutants of production's own answers; those of a candidate are not read.

    Args:
        files: golden set, policy and task, and what was recorded of production: without its probe
            answers or its latency samples the mutants of these are not made, and a line says so.

    Returns:
        One line a mutant, and whether the gate was right about every one.

    Raises:
        ConfigError: a file is wrong, or there are no predictions of production.
    """
    from evaluators.selftest import selftest

    _check_flags(files)
    if files.production.predictions is None:
        raise ConfigError(
            "the self-test found no predictions of production; expected the recorded answers that "
            "mutants are made of; give --production, or the evidence of a gate against production"
        )
    task: Task = load_task(files.task)
    outcomes = selftest(
        golden=load_golden(files.golden, task.labels),
        task=task,
        policy=load_policy(files.policy),
        production=read_answers(files.production),
        probes=load_probes(files.probes) if files.probes else (),
    )
    lines = [outcome.sentence for outcome in outcomes]
    return lines, all(outcome.sound for outcome in outcomes)


def sealed_files(folder: Path) -> Files:
    """Returns the files of a finished evidence folder that nobody has altered.

    Raises:
        ArtifactError: a file was changed since it was sealed.
        ConfigError: the folder is not a finished evidence folder.
    """
    if not (folder / evidence.SUMS).is_file():
        raise ConfigError(
            f"{folder}: holds no {evidence.SUMS}, so it is no finished evidence; expected a folder "
            "that `assay gate` has written; name that one"
        )
    evidence.check_seal(folder)
    return evidence_files(folder)


def model_files(folder: Path) -> ModelFiles:
    """Returns the files of one model's answers that a folder holds."""
    paths = {field.name: folder / f"{field.name}.jsonl" for field in fields(ModelFiles)}
    return ModelFiles(**{name: path for name, path in paths.items() if path.exists()})


def read_answers(files: ModelFiles) -> RawAnswers:
    """Reads one model's answers; what there is no file of is empty.

    Raises:
        ConfigError: a line of a file is not what it must be.
    """

    def read(reader: Callable[[Path], tuple[T, ...]], path: Path | None) -> tuple[T, ...]:
        return () if path is None else reader(path)

    return RawAnswers(
        predictions=read(read_predictions, files.predictions),
        probe_answers=read(read_predictions, files.probe_answers),
        latency=read(read_latency, files.latency),
        engine=read(read_engine_samples, files.engine_samples),
        latency_again=read(read_latency, files.latency_again),
    )


def _context(files: Files) -> RunContext:
    if files.context is not None:
        return evidence.read_context(files.context)
    return RunContext(run_id="judge", tools=tool_versions())


def _versions(tools: object) -> str:
    named = dict(tools) if isinstance(tools, dict) else {}
    return ", ".join(f"{name} {version}" for name, version in sorted(named.items())) or "none named"
