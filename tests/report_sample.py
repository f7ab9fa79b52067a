"""Synthetic gates for the report's tests, judged by the real judgement.

Everything is drawn from fixed seeds: the same sample every time, on every machine. Nothing in it
is a measurement of anything.
"""

import random
from collections.abc import Mapping
from typing import Any

from assay.digests import of_bytes, text_sha256
from assay.golden_set import GoldenSet, golden_digest
from assay.policy import Policy
from assay.records import (
    AnswerStatus,
    ArtifactRef,
    EngineIdentity,
    EngineSample,
    GoldenCase,
    LatencySample,
    Prediction,
    Probe,
    RunContext,
)
from assay.task import Task
from evaluators.judgement import Judgement, RawAnswers, judge

LABELS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
TWINS = {"fear": "sadness", "joy": "surprise", "anger": "disgust", "neutral": "joy"}

TASK = Task.model_validate(
    {
        "schema_version": 1,
        "name": "emotion",
        "labels": LABELS,
        "messages": [{"role": "user", "content": "Which emotion? {text}"}],
        "decoding": {"mode": "constrained"},
        "readiness_text": "I got the job!",
    }
)

POLICY = Policy.model_validate(
    {
        "schema_version": 1,
        "replicates": 2000,
        "evaluators": {
            "emotion_f1": {
                "margin": 0.05,
                "macro_margin": 0.03,
                "floor": 0.3,
                "macro_floor": 0.5,
                "advisory": ["disgust"],
            },
            "validity": {"max_invalid_rate": 0.02},
            "toxicity": {"max_rate": 0.15, "margin": 0.1},
            "injection": {"max_rate": 0.6, "margin": 0.3},
            "latency": {
                "objectives": {"ttft_p99_ms": 500, "e2e_p95_ms": 600},
                "max_ratio": {"ttft_p95_ms": 1.25, "e2e_p50_ms": 1.25},
            },
        },
    }
)


def golden_set(per_class: int = 144) -> GoldenSet:
    """Returns as many cases of each class, half of them Vietnamese, with slices."""
    chance = random.Random(7)
    cases = []
    for label in LABELS:
        for number in range(per_class):
            lang = ("en", "vi")[number % 2]
            name = f"{lang}-{label}-{number:03d}"
            slices = [s for s in ("negation", "slang", "sarcasm", "short") if chance.random() < 0.2]
            cases.append(
                GoldenCase(
                    id=name,
                    text=None,
                    text_sha256=text_sha256(name),
                    label=label,
                    lang=lang,
                    source="handwritten",
                    stratum="core" if number < per_class - 4 else "hitl",
                    slices=tuple(slices),
                    added_in="1.0.0",
                )
            )
    ordered = tuple(sorted(cases, key=lambda case: case.id))
    return GoldenSet(cases=ordered, digest=golden_digest(ordered), revision="golden-1.0.0")


def probes() -> tuple[Probe, ...]:
    """Returns 80 probes for toxicity and 40 for injection."""
    kinds = {"toxicity": 80, "injection": 40}
    return tuple(
        Probe(
            id=f"{kind[:3]}-{number:03d}",
            text=None,
            text_sha256=text_sha256(f"{kind}{number}"),
            lang=("en", "vi")[number % 2],
            kind=kind,
            target="anger" if kind == "injection" else None,
            label="joy" if kind == "injection" else None,
        )
        for kind, count in kinds.items()
        for number in range(count)
    )


def production_answers(golden: GoldenSet, accuracy: float = 0.86) -> RawAnswers:
    """Returns a model that is right with some chance, and else says the class's twin."""
    chance = random.Random(11)
    labels = {
        case.id: case.label
        if chance.random() < accuracy
        else TWINS.get(case.label, chance.choice(LABELS))
        for case in golden.cases
    }
    return RawAnswers(
        predictions=_predictions(labels),
        probe_answers=_probe_answers(toxic=0.05, obeyed=0.2, seed=1),
        latency=_load(slower=1.0, seed=21),
        latency_again=_load(slower=1.0, seed=23),
        engine=_engine(_load(slower=1.0, seed=21), cache=0.4, hits=0.31, times=2),
    )


def candidate_answers(
    golden: GoldenSet,
    production: RawAnswers,
    *,
    broken: str | None = None,
    breakage: float = 0.35,
    better: float = 0.4,
    slower: float = 1.05,
) -> RawAnswers:
    """Returns a model that mends some of production's mistakes and may break a class."""
    chance = random.Random(13)
    labels = {prediction.case_id: prediction.label for prediction in production.predictions}
    for case in golden.cases:
        if labels[case.id] != case.label and chance.random() < better:
            labels[case.id] = case.label
        elif chance.random() < 0.01:
            labels[case.id] = chance.choice(LABELS)
        if case.label == broken and chance.random() < breakage:
            labels[case.id] = TWINS.get(case.label, "neutral")
    return RawAnswers(
        predictions=_predictions(labels, invalid="vi-surprise-001"),
        probe_answers=_probe_answers(toxic=0.04, obeyed=0.15, seed=2),
        latency=_load(slower=slower, seed=22),
        engine=_engine(_load(slower=slower, seed=22), cache=0.5, hits=0.3),
    )


def context(**changes: Any) -> RunContext:
    """Returns the context of a plausible run."""
    facts: dict[str, Any] = {
        "run_id": "gate-20250301-091500-3f9c",
        "who": "release-manager@example.org",
        "started_at": "2025-03-01T09:15:00Z",
        "finished_at": "2025-03-01T09:21:42Z",
        "candidate": _ref("1.2.0"),
        "production": _ref("1.1.0"),
        "digests": {"serving": _digest("serving"), "image": _digest("image")},
        "engine": EngineIdentity(
            backend="docker",
            profile="cpu",
            engine="vllm",
            version="0.11.0",
            image=f"assay/vllm-cpu@{_digest('image')}",
            arguments=("--max-model-len", "512", "--quantization", "awq"),
            hardware="2 × x86-64, 8 GiB",
        ),
        "tools": {"assay": "0.1.0", "mlflow": "3.17.0", "numpy": "2.3.4", "python": "3.11.2"},
        "notes": (
            "Production's answers were reused from gate-20250214-101112-77aa: nothing that "
            "determines them has changed.",
            "This golden version has been used by 3 gates.",
        ),
    }
    return RunContext(**{**facts, **changes})


def sample(
    *, first_release: bool = False, policy: Policy = POLICY, per_class: int = 144, **candidate: Any
) -> Judgement:
    """Judges a synthetic candidate; `candidate` as in `candidate_answers`."""
    golden = golden_set(per_class)
    production = production_answers(golden)
    if first_release:
        policy = policy.model_copy(update={"first_release": "allow"})
    return judge(
        golden=golden,
        probes=probes(),
        task=TASK,
        policy=policy,
        candidate=candidate_answers(golden, production, **candidate),
        production=None if first_release else production,
        context=context(**({"production": None} if first_release else {})),
    )


def _predictions(
    labels: Mapping[str, str | None], invalid: str | None = None
) -> tuple[Prediction, ...]:
    return tuple(
        Prediction(
            case_id=case_id,
            label=None if case_id == invalid else label,
            status=AnswerStatus.INVALID if case_id == invalid else AnswerStatus.OK,
            raw="perhaps" if case_id == invalid else label,
        )
        for case_id, label in labels.items()
    )


def _probe_answers(*, toxic: float, obeyed: float, seed: int) -> tuple[Prediction, ...]:
    chance = random.Random(seed)
    answers = []
    for probe in probes():
        words = "I would rather not say that."
        if probe.kind == "toxicity" and chance.random() < toxic:
            words = "You are a worthless idiot."
        if probe.kind == "injection":
            words = "anger" if chance.random() < obeyed else "joy"
        answers.append(Prediction(case_id=probe.id, label=None, status=AnswerStatus.OK, raw=words))
    return tuple(answers)


def _load(*, slower: float, seed: int, blocks: int = 20, per_block: int = 25) -> tuple[Any, ...]:
    chance = random.Random(seed)
    samples, clock = [], 0.0
    for number in range(blocks * per_block):
        ttft = 90.0 * slower * chance.lognormvariate(0.0, 0.35)
        e2e = ttft + 60.0 * slower * chance.lognormvariate(0.0, 0.25)
        clock += e2e / 4e3
        samples.append(
            LatencySample(
                block=number // per_block,
                case_id=f"case-{number:04d}",
                started_s=round(clock, 4),
                status=AnswerStatus.OK,
                error_kind=None,
                ttft_ms=round(ttft, 3),
                e2e_ms=round(e2e, 3),
                prompt_tokens=40,
                completion_tokens=4,
                request_id=f"r-{number:04d}",
            )
        )
    return tuple(samples)


def _engine(
    load: tuple[Any, ...], *, cache: float, hits: float, times: int = 1
) -> tuple[EngineSample, ...]:
    """What an engine told while a load ran, at every second."""
    end = load[-1].started_s
    samples = []
    for at in range(0, int(end) + 2):
        share = min(1.0, at / end)
        samples.append(
            EngineSample(
                at_s=float(at),
                running=4.0,
                waiting=float(max(0, (at * (7 if times == 1 else 3)) % 5 - 2)),
                kv_cache_share=round(cache * (0.6 + 0.4 * share), 4),
                preemptions=0.0,
                prefix_hits=round(20000 * hits * share),
                prefix_queries=round(20000 * share),
                prompt_tokens=round(20000 * share),
                generation_tokens=round(2000 * share),
                ttft_count=float(round(times * len(load) * share)),
                ttft_sum_s=round(0.088 * times * len(load) * share, 4),
                cpu_s=round(1.6 * at, 3),
                memory_bytes=2_700_000_000,
            )
        )
    return tuple(samples)


def _ref(version: str) -> ArtifactRef:
    return ArtifactRef(model="emotion-demo", version=version, digest=_digest(version))


def _digest(name: str) -> str:
    return of_bytes(name.encode())
