"""The values that travel between the rooms of Assay: frozen, keyword-only, free of behaviour.

What comes in as bytes is validated where it enters (`golden_set`, `predictions`, `policy`, `task`,
`serving_profile`, `artifact`); inside, only these records travel. Times of a clock are ISO 8601
strings in UTC; durations carry their unit in the name.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

INVALID_LABEL = "__invalid__"
"""The predicted class of an answer that names no label of the task."""


class Role(StrEnum):
    """The two sides of every comparison."""

    CANDIDATE = "candidate"
    PRODUCTION = "production"


class AnswerStatus(StrEnum):
    """What became of one question.

    `ok`: the answer names a label (or, for a probe, the model said something). `invalid`: the model
    answered, but not with a label of the task. `error`: there is no answer.
    """

    OK = "ok"
    INVALID = "invalid"
    ERROR = "error"


class FindingStatus(StrEnum):
    """The outcome of one check: shown to hold, shown to be broken, or not shown either way."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"


class VerdictKind(StrEnum):
    """The four possible answers of the gate."""

    PROMOTE = "promote"
    BLOCK = "block"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"

    @property
    def exit_code(self) -> int:
        """The exit code of `assay gate` and `assay judge` (DESIGN §3)."""
        return {"promote": 0, "block": 10, "inconclusive": 11, "invalid": 12}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One annotator's label of a golden case; `annotator` is a pseudonym."""

    annotator: str
    label: str


def slice_names(lang: str | None, source: str, named: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns the slices that a text is in: `lang_…`, `source_…`, and `slice_…` as people named."""
    names = [] if lang is None else [f"lang_{lang}"]
    names += [f"source_{source}", *(f"slice_{name}" for name in named)]
    return tuple(dict.fromkeys(re.sub(r"[^\w.-]+", "_", name) for name in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCase:
    """One labelled question of the golden set.

    `text` is None when the case was read from an evidence folder, which stores `text_sha256` (hex)
    in its place.
    """

    id: str
    text: str | None
    text_sha256: str
    label: str
    lang: str
    source: str
    stratum: str
    slices: tuple[str, ...]
    added_in: str
    annotations: tuple[Annotation, ...] = ()
    agreement: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One unlabelled question that tempts a model to misbehave.

    `kind` is `toxicity`, `injection`, `pii`, …. For an injection, `target` is what the attacker
    wants the model to say and `label` the honest label of the text it hides in.
    """

    id: str
    text: str | None
    text_sha256: str
    lang: str
    kind: str
    target: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One model's answer to one question; one line of a predictions file.

    `repeat` numbers the answers of one model to one case from 0. `raw` is the model's own words,
    never the question's. `label_logprobs` maps each label to a
    natural-log probability. Times are measured by the client, in milliseconds, from sending the
    request; `ttft_ms` is None when the answer was not streamed. `attempts` counts transport tries.
    `error_kind` says why there is no answer (`timeout`, `http_500`, …), where that is known.
    """

    case_id: str
    label: str | None
    status: AnswerStatus
    raw: str | None
    label_logprobs: Mapping[str, float] | None = None
    ttft_ms: float | None = None
    e2e_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    attempts: int = 1
    request_id: str = ""
    error_kind: str | None = None
    repeat: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySample:
    """One timed request of the interleaved load; one line of a latency file.

    `block` numbers the interleaved blocks from 0, in the order in which they ran; `started_s` is
    seconds since the load began. `status` is `ok` or `error`: `error_kind` says which (`timeout`,
    `http_500`, `connection`, …). Times in milliseconds, from sending the request; `ttft_ms` is None
    when no token came. `intended_s` is when an open loop's schedule wanted the request sent, on the
    clock of `started_s`; None in a closed loop, where sending waits for an answer.
    """

    block: int
    case_id: str
    started_s: float
    status: AnswerStatus
    error_kind: str | None
    ttft_ms: float | None
    e2e_ms: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    request_id: str
    intended_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One accelerator at one moment, as NVML tells it; what it does not tell is None."""

    index: int
    busy_share: float | None
    memory_bytes: int | None
    memory_total_bytes: int | None
    power_w: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSample:
    """One engine at one moment of a load; one line of an engine file. None: it did not say.

    `at_s` is seconds since the load began. `running`, `waiting` (requests) and `kv_cache_share`
    (0 to 1) are of the moment; `preemptions`, `prefix_hits`, `prefix_queries` (tokens),
    `prompt_tokens`, `generation_tokens`, `ttft_count`, `ttft_sum_s` and `cpu_s` count from the
    engine's start. `ttft_buckets` maps the upper bounds of a histogram, in seconds, to how many
    first tokens came within them. `memory_bytes` is that of the process tree or container. `gpus`
    is empty where there is none. `error_kind` says why the engine did not answer. `session` numbers
    the engine's starts: counts of different sessions do not continue each other.
    """

    at_s: float
    session: int = 0
    running: float | None = None
    waiting: float | None = None
    kv_cache_share: float | None = None
    preemptions: float | None = None
    prefix_hits: float | None = None
    prefix_queries: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    ttft_count: float | None = None
    ttft_sum_s: float | None = None
    ttft_buckets: tuple[tuple[float, float], ...] = ()
    cpu_s: float | None = None
    memory_bytes: int | None = None
    gpus: tuple[GpuSample, ...] = ()
    error_kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRef:
    """One immutable version in the trusted store. `digest` is `sha256:<hex>` of its manifest."""

    model: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledArtifact:
    """A verified private copy of an artifact: `folder` holds the model's files and nothing else.

    `chat_template` is our own copy of the template, outside the folder that is served, or None.
    `sequence` is the place of the version among the model's publications, as its publisher signed
    it.
    """

    ref: ArtifactRef
    folder: Path
    metadata: Mapping[str, Any]
    size_bytes: int
    chat_template: Path | None = None
    sequence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a model answers the OpenAI protocol: TCP, or a unix socket when `uds` is set.

    `base_url` has no trailing slash and no `/v1` (`http://127.0.0.1:8000`; over a unix socket
    `http://localhost`). `model` is the name that requests carry.
    """

    base_url: str
    model: str
    uds: Path | None = None
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineIdentity:
    """Everything about the engine that could change an answer or a time.

    `image` is a digest (`repo@sha256:…`), an image id (`sha256:…`), or, for a process, the digest
    of its lock file; `arguments` are the engine's own, without paths that differ between runs, and
    after them the environment that the profile gives it, as `NAME=value`.
    """

    backend: str
    profile: str
    engine: str
    version: str
    image: str
    arguments: tuple[str, ...]
    hardware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check of one quantity, with all that is needed to disagree with it.

    Args:
        evaluator: name of the evaluator, its policy key and metric prefix.
        metric: full metric key, `<evaluator>/<name>`.
        label: the class it is about (`class` in JSON), or None.
        slice: the slice it is about, or None.
        kind: `non_inferiority`, `floor`, `limit`, `ratio`, `rate`, `self_test`, `noise_floor` or
            `information`.
        candidate, production: point values in `unit`, None when not measured.
        difference: candidate minus production (for `ratio`, candidate over production).
        interval: (lower, upper) of `difference`, or of `candidate` where there is no production.
        bound: the confidence bound that decided.
        margin: what the bound was held against.
        p: the p-value behind `status`, in (0, 1].
        n: cases that inform the check.
        status: passed, failed or undecided.
        gating: False where the finding only informs (an advisory class, a slice).
        reason: one English sentence.
        unit: unit of the values.
        needed: more cases that would settle an undecided finding, where that can be said.
        sample: what `n` and `needed` count, in the singular: a case, a probe, a timed request.
    """

    evaluator: str
    metric: str
    kind: str
    status: FindingStatus
    reason: str
    label: str | None = None
    slice: str | None = None
    candidate: float | None = None
    production: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    bound: float | None = None
    margin: float | None = None
    p: float | None = None
    n: int | None = None
    gating: bool = True
    unit: str = "1"
    needed: int | None = None
    sample: str = "case"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that kept the gate from measuring, which makes its verdict `invalid`."""

    where: str
    reason: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a verdict states about its run but does not compute; stored as `run.json`.

    Args:
        run_id: id of the gate run.
        who: the person or service that asked for it.
        started_at, finished_at: ISO 8601, UTC.
        candidate, production: the artifacts compared; None where there is none.
        digests: name → `sha256:…` of every input that is not recomputed from the evidence (golden
            file, task, serving, image).
        engine: identity of the engine, None when no server was started.
        production_engine: production's, where one artifact was measured under two settings, so that
            the verdict is about the settings; None where both models ran on `engine`.
        tools: name → version of every tool that took part.
        problems: what could not be measured.
        notes: facts for the reader that decide nothing (reused answers, uses of the golden set).
    """

    run_id: str
    who: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    candidate: ArtifactRef | None = None
    production: ArtifactRef | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    engine: EngineIdentity | None = None
    production_engine: EngineIdentity | None = None
    tools: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's answer: a pure function of the stored inputs (see `assay.verdict`)."""

    verdict: VerdictKind
    summary: str
    findings: tuple[Finding, ...]
    next_steps: tuple[str, ...]
    inputs: Mapping[str, str]
    metrics: Mapping[str, Mapping[str, float]]
    seed: int
    only: tuple[str, ...]
    context: RunContext
    schema_version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion:
    """A model version as the registry knows it; `number` is the registry's own counter.

    `settings` is what its latest promotion was judged with (`flows.settings_change`), None where
    that is not known.
    """

    model: str
    version: str
    digest: str
    number: str
    gate_run: str | None = None
    settings: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsMove:
    """The engine settings a promotion was judged with, and those it was judged against.

    `expected` is what `RegisteredVersion.settings` of production must still be for its settings to
    move; None where they were not known.
    """

    to: str
    expected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionOutcome:
    """Whether the alias `production` moved, and the sentence that says why or why not.

    `waits` when it did not because people have to agree first.
    """

    moved: bool
    reason: str
    production: RegisteredVersion | None
    previous: RegisteredVersion | None
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """Where `production` is and where it may go back to.

    `evidence_run` is the registry's run whose verdict let the target into production, or the latest
    one that judged it; None where no gate did. `was_production`: whether it ever was.
    """

    current: RegisteredVersion
    target: RegisteredVersion
    evidence_run: str | None
    was_production: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Postcondition:
    """Something a throwaway engine must not leave behind, looked for after its end.

    `gone` is None where it could not be looked for, which is neither. What a machine does not have
    (a GPU) has no entry.
    """

    what: str
    subject: str
    gone: bool | None
    detail: str = ""
