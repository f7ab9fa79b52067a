"""What the verdict rests on: the golden set, the provenance, and the commands that prove it.

Decides which facts an auditor is shown and which command lines re-derive the verdict from the
evidence folder; the facts themselves are the verdict's.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.records import EngineIdentity, Verdict
from assay.report_numbers import MISSING, count, number


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenClass:
    """One class of the golden set: cases, share of the largest class, what it can show."""

    label: str
    cases: str
    share: float
    disagreements: str
    detectable: str
    margin: str
    relabels: str
    enough: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """The golden cases that decided."""

    total: str
    classes: tuple[GoldenClass, ...]
    planned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Names and values an auditor compares."""

    artifacts: tuple[tuple[str, str, str], ...]
    facts: tuple[tuple[str, str], ...]
    engine: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, str], ...]
    tools: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Command lines, run inside the evidence folder; `judge` is empty where nothing was asked."""

    sums: str
    verify: str
    judge: str


def golden(tables: Mapping[str, Mapping[str, Any]]) -> Golden | None:
    """Reads the deciding cases from the candidate's confusion matrix; None where there is none."""
    for mine in tables.values():
        confusion = mine.get("confusion_candidate")
        if isinstance(confusion, Mapping):
            supports = [sum(row) for row in confusion["counts"]]
            power = {row["class"]: row for row in mine.get("power", ())}
            relabels = {row["class"]: row.get("relabels") for row in mine.get("relabels", ())}
            largest = max(supports, default=0) or 1
            return Golden(
                total=count(sum(supports)),
                classes=tuple(
                    _golden_class(
                        str(label),
                        support,
                        largest,
                        {**power.get(label, {}), "relabels": relabels.get(label)},
                    )
                    for label, support in zip(confusion["rows"], supports, strict=True)
                ),
                planned=bool(power),
            )
    return None


def _golden_class(label: str, support: int, largest: int, power: Mapping[str, Any]) -> GoldenClass:
    detectable, margin = power.get("detectable_difference"), power.get("margin")
    discordant = [power.get(f"discordant_{part}") for part in ("positives", "false_positives")]
    known = [item for item in discordant if isinstance(item, int)]
    return GoldenClass(
        label=label,
        cases=count(support),
        share=round(support / largest, 4),
        disagreements=count(sum(known)) if known else MISSING,
        detectable=number(detectable),
        margin=number(margin),
        relabels=count(power.get("relabels")),
        enough=None if detectable is None or margin is None else detectable <= margin,
    )


def provenance(verdict: Verdict) -> Provenance:
    """Returns everything the verdict says about where it comes from."""
    context = verdict.context
    engine = context.engine
    facts = {
        "Gate run": context.run_id,
        "Asked for by": context.who,
        "Started": context.started_at,
        "Finished": context.finished_at,
        "Seed of every resampling": f"{verdict.seed:016x}",
        "Judged only": ", ".join(verdict.only) or None,
    }
    about = {} if engine is None else _engine(engine)
    theirs = context.production_engine
    if theirs is not None:
        about |= {f"Production's {key.lower()}": value for key, value in _engine(theirs).items()}
    refs = (("Candidate", context.candidate), ("Production", context.production))
    return Provenance(
        artifacts=tuple((role, f"{r.model} {r.version}", r.digest) for role, r in refs if r),
        facts=tuple((key, value) for key, value in facts.items() if value),
        engine=tuple((key, value) for key, value in about.items() if value),
        inputs=tuple(sorted(verdict.inputs.items())),
        tools=tuple(sorted(context.tools.items())),
    )


def _engine(engine: EngineIdentity) -> dict[str, str]:
    return {
        "Engine": f"{engine.engine} {engine.version}",
        "Image or lock file": engine.image,
        "Back end and profile": f"{engine.backend}, {engine.profile}",
        "Hardware": engine.hardware,
        "Arguments": shlex.join(engine.arguments),
    }


def commands(verdict: Verdict) -> Commands:
    """Returns the command lines that check and re-derive this very verdict."""
    return Commands(
        sums="sha256sum -c SHA256SUMS",
        verify="assay verify .",
        judge=_judge(verdict.inputs, verdict.only),
    )


def _judge(inputs: Mapping[str, str], only: Sequence[str]) -> str:
    if "candidate_predictions" not in inputs:
        return ""
    files = {
        "golden": ("golden", "golden_index.jsonl"),
        "candidate_predictions": ("candidate", "candidate/predictions.jsonl"),
        "production_predictions": ("production", "production/predictions.jsonl"),
        "probes": ("probes", "probes_index.jsonl"),
        "candidate_probe_answers": ("candidate-probes", "candidate/probe_answers.jsonl"),
        "production_probe_answers": ("production-probes", "production/probe_answers.jsonl"),
        "anchor_predictions": ("anchor", "anchor/predictions.jsonl"),
        "candidate_latency": ("candidate-latency", "candidate/latency.jsonl"),
        "production_latency": ("production-latency", "production/latency.jsonl"),
        "production_latency_again": (
            "production-latency-again",
            "production/latency_again.jsonl",
        ),
        "candidate_engine_samples": ("candidate-engine", "candidate/engine_samples.jsonl"),
        "production_engine_samples": ("production-engine", "production/engine_samples.jsonl"),
    }
    words = ["assay judge"]
    words += [f"--{flag} {file}" for key, (flag, file) in files.items() if key in inputs]
    words += ["--policy policy.yaml", "--task task.yaml", "--context run.json"]
    words += [f"--only {shlex.quote(','.join(only))}"] if only else []
    return " \\\n  ".join([*words, "--json | cmp - verdict.json"])
