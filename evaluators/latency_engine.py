"""What the engines said during the load, as findings, metrics and tables of `latency`.

Decides the wording and the names; leaves the figures to `assay.engine_health`. Nothing here
decides a verdict: an unhealthy engine is the reason that a slow model's finding names, and a
difference between the two clocks is there to be read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from assay.engine_health import GIB, ClockCheck, EngineHealth, check_clock, health
from assay.records import Finding, FindingStatus, Role
from evaluators.base import ModelAnswers

_NAME = "latency"
_ROUNDING_MS = 1.0
"""By how much the engine's clock may be ahead of ours before one of the two must be wrong."""

_MOST_POINTS = 240


def engine_health(answers: Mapping[Role, ModelAnswers]) -> dict[Role, EngineHealth]:
    """Returns the health of each engine that was watched."""
    found = {}
    for role, one in answers.items():
        seen = health(one.engine, [*one.latency, *_again(one)])
        if seen is not None:
            found[role] = seen
    return found


def with_reasons(
    findings: Sequence[Finding], seen: Mapping[Role, EngineHealth]
) -> tuple[Finding, ...]:
    """Names an unhealthy engine in every finding about times that did not pass."""
    words = {
        role: f"{_whose(role)} was unhealthy: {', '.join(one.faults)}"
        for role, one in seen.items()
        if one.faults
    }
    return tuple(_with_reason(finding, words) for finding in findings)


def _with_reason(finding: Finding, words: Mapping[Role, str]) -> Finding:
    roles = [Role.CANDIDATE, *([Role.PRODUCTION] if finding.kind == "ratio" else [])]
    named = [words[role] for role in roles if role in words]
    if finding.status is FindingStatus.PASSED or not named:
        return finding
    sentences = " ".join(f"{name}." for name in named)
    return replace(finding, reason=f"{finding.reason} {sentences}")


def engine_findings(
    answers: Mapping[Role, ModelAnswers], seen: Mapping[Role, EngineHealth]
) -> list[Finding]:
    """Returns one finding on the engines' health, and one on each engine's clock; none decides."""
    found = []
    for role, one in seen.items():
        found.append(_health_finding(role, one))
        checked = check_clock(one, answers[role].latency, _again(answers[role]))
        if checked is not None:
            found.append(_clock_finding(role, checked))
    return found


def engine_metrics(one: EngineHealth, answers: ModelAnswers) -> dict[str, float]:
    """Returns the metrics of one engine; what it did not tell is absent."""
    checked = check_clock(one, answers.latency, _again(answers))
    compared = (
        {"engine_ttft_mean_ms": checked.engine_ms, "ttft_outside_engine_ms": checked.outside_ms}
        if isinstance(checked, ClockCheck)
        else {}
    )
    values = {
        "queue_p95": one.queue_p95,
        "queue_max": one.queue_max,
        "running_max": one.running_max,
        "kv_cache_max": one.kv_cache_max,
        "preemptions": one.preemptions,
        "prefix_hit_rate": one.prefix_hit_rate,
        "cpu_cores": one.cpu_cores,
        "memory_max_gib": None if one.memory_max_bytes is None else one.memory_max_bytes / GIB,
        "gpu_busy": one.gpu_busy,
        "gpu_memory_max_gib": None
        if one.gpu_memory_max_bytes is None
        else one.gpu_memory_max_bytes / GIB,
        "idle_share": one.idle_share,
    } | compared
    return {name: value for name, value in values.items() if value is not None}


def engine_rows(seen: Mapping[Role, EngineHealth]) -> list[dict[str, Any]]:
    """Returns the engines' figures side by side, one row a figure that any engine told."""
    rows = []
    for name, (words, unit) in _FIGURES.items():
        values = {role.value: getattr(one, name) for role, one in seen.items()}
        if any(value is not None for value in values.values()):
            rows.append({"figure": words, "unit": unit, **values})
    return rows


def engine_series(answers: Mapping[Role, ModelAnswers]) -> dict[str, dict[str, list[float]]]:
    """Returns each engine's queue and cache over the load, thinned to what a picture can show."""
    found = {}
    for role, one in answers.items():
        told = [s for s in one.engine if s.waiting is not None and s.running is not None]
        step = max(1, -(-len(told) // _MOST_POINTS))
        # The largest of each step stays: a peak is what one looks for.
        groups = [told[i : i + step] for i in range(0, len(told), step)]
        if groups:
            found[role.value] = {
                "at_s": [group[-1].at_s for group in groups],
                "waiting": [max(s.waiting or 0.0 for s in group) for group in groups],
                "running": [max(s.running or 0.0 for s in group) for group in groups],
            }
    return found


_FIGURES: Mapping[str, tuple[str, str]] = {
    "queue_max": ("Requests waiting, at most", "requests"),
    "queue_p95": ("Requests waiting, p95", "requests"),
    "running_max": ("Requests running, at most", "requests"),
    "kv_cache_max": ("KV cache in use, at most", "share"),
    "preemptions": ("Preemptions", "requests"),
    "prefix_hit_rate": ("Prefix cache: tokens found", "share"),
    "prompt_tokens": ("Prompt tokens", "tokens"),
    "generation_tokens": ("Tokens written", "tokens"),
    "ttft_mean_ms": ("First token by the engine's clock, mean", "ms"),
    "cpu_cores": ("CPU cores in use, mean", "cores"),
    "memory_max_bytes": ("Memory, at most", "bytes"),
    "gpu_busy": ("GPU at work, mean", "share"),
    "gpu_memory_max_bytes": ("GPU memory, at most", "bytes"),
    "idle_share": ("Looks under load with nothing running", "share"),
    "samples": ("Looks taken", "looks"),
    "unanswered": ("Looks the engine did not answer", "looks"),
}


def _again(answers: ModelAnswers) -> tuple[Any, ...]:
    return answers.latency_again


def _whose(role: Role) -> str:
    return "The candidate's engine" if role is Role.CANDIDATE else "Production's engine"


def _health_finding(role: Role, one: EngineHealth) -> Finding:
    told = [
        None if one.queue_max is None else f"at most {one.queue_max:g} requests waited",
        None
        if one.kv_cache_max is None
        else f"its KV cache was {one.kv_cache_max:.1%} full at most",
        None
        if one.prefix_hit_rate is None
        else f"{one.prefix_hit_rate:.1%} of the prompt tokens were found in its prefix cache",
    ]
    words = [word for word in told if word]
    if one.faults:
        status, state = FindingStatus.FAILED, "was unhealthy: " + ", ".join(one.faults)
    elif one.preemptions is None or one.kv_cache_max is None or one.queue_max is None:
        status, state = FindingStatus.UNDECIDED, "did not tell all of its figures"
    else:
        status, state = FindingStatus.PASSED, "was healthy"
    joined = f"; {'; '.join(words)}" if words else ""
    return _informs(
        "engine_health", role, status, f"{_whose(role)} {state}{joined}.", n=one.under_load
    )


def _clock_finding(role: Role, checked: ClockCheck | str) -> Finding:
    if isinstance(checked, str):
        sentence = f"{_whose(role)}: the clocks were not compared: {checked}."
        return _informs("engine_clock", role, FindingStatus.UNDECIDED, sentence)
    outside = checked.outside_ms
    impossible = outside < -_ROUNDING_MS
    if impossible:
        relation = "which cannot be, so one of the two clocks is wrong"
    else:
        relation = (
            "outside the engine's own clock (HTTP, reading and tokenising the prompt, this client)"
        )
        if outside > 0.5 * checked.client_ms:
            relation += ", so most of the wait is not the model's"
    return _informs(
        "engine_clock",
        role,
        FindingStatus.UNDECIDED if impossible else FindingStatus.PASSED,
        f"First token after {checked.client_ms:.4g} ms by our clock and {checked.engine_ms:.4g} ms "
        f"by {'the candidate' if role is Role.CANDIDATE else 'production'}'s own, on average over "
        f"{checked.requests} requests: {outside:+.3g} ms {relation}.",
        n=checked.requests,
    )


def _informs(
    name: str, role: Role, status: FindingStatus, sentence: str, n: int | None = None
) -> Finding:
    return Finding(
        evaluator=_NAME,
        metric=f"{_NAME}/{name}_{role.value}",
        kind="information",
        status=status,
        gating=False,
        reason=sentence,
        n=n,
    )
