"""What a search leaves behind: a diff, a picture, a page to read, and every trial as data.

::

    <home>/tuning/<study>/recommendation/
      report.md  trials.json  pareto.svg  serving.diff (where settings change)
    serving.tuned.yaml                         (beside serving.yaml, where settings change)

Decides the names, and that `serving.yaml` itself changes only where that was asked for; what is
recommended is `assay.tuning`'s.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import ConfigError
from assay.evidence import write_json
from assay.records import ArtifactRef
from assay.tuning import arguments
from assay.tuning.document import report
from assay.tuning.picture import Picture, picture_svg
from assay.tuning.recommendation import Pair, Recommendation, pareto
from assay.tuning.serving_edit import edited, unified_diff
from assay.tuning.trials import TrialRecord
from flows.tuning_request import Plan, TuneRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished search; `present` is the trial of the settings as they are."""

    study: str
    ref: ArtifactRef
    trials: tuple[TrialRecord, ...]
    present: int
    recommendation: Recommendation
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneResult:
    """What a search leaves behind.

    `serving` is the recommended file, None to keep the present; `document` is `trials.json`.
    """

    outcome: Outcome
    document: Mapping[str, Any]
    folder: Path
    serving: Path | None
    diff: str
    applied: bool
    next_step: str


def write_outcome(outcome: Outcome, request: TuneRequest, plan: Plan, folder: Path) -> TuneResult:
    """Writes everything, and the serving file itself where the request says so.

    Raises:
        ConfigError: the serving file cannot be changed in place, or was changed meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    after = _recommended_text(outcome, request, plan)
    diff = "" if after is None else unified_diff(plan.serving_text, after, request.serving.name)
    serving = None
    if after is not None:
        serving = request.serving.with_suffix(f".tuned{request.serving.suffix}")
        _write(serving, after)
        _write(folder / "serving.diff", diff)
    price = plan.document.price_per_hour
    picture = Picture(
        trials=outcome.trials,
        present=outcome.present,
        chosen=outcome.recommendation.number,
        price_per_hour=price,
    )
    (folder / "pareto.svg").write_bytes(picture_svg(picture))
    document = report(
        study=outcome.study,
        ref=outcome.ref,
        trials=outcome.trials,
        present=outcome.present,
        recommendation=outcome.recommendation,
        diff=diff,
        price_per_hour=price,
    )
    write_json(folder / "trials.json", document)
    applied = after is not None and request.apply
    if applied and after is not None:
        _apply(request.serving, plan.serving_text, after)
    next_step = _next_step(outcome, request, serving, applied=applied)
    _write(folder / "report.md", _page(outcome, plan, diff, next_step))
    return TuneResult(
        outcome=outcome,
        document=document,
        folder=folder,
        serving=serving,
        diff=diff,
        applied=applied,
        next_step=next_step,
    )


def _recommended_text(outcome: Outcome, request: TuneRequest, plan: Plan) -> str | None:
    number = outcome.recommendation.number
    if number is None:
        return None
    point = next(one.point for one in outcome.trials if one.number == number)
    wanted = arguments.with_point(plan.profile, plan.space, point)
    return edited(plan.serving_text, request.profile, wanted, where=str(request.serving))


def _apply(path: Path, before: str, after: str) -> None:
    if path.read_bytes().decode() != before:
        raise ConfigError(
            f"{path}: was changed while the search ran, so nothing was applied; compare it with "
            f"{path.with_suffix(f'.tuned{path.suffix}')} and change it by hand"
        )
    _write(path, after)


def _write(path: Path, text: str) -> None:
    """Writes a file whole or not at all, in the bytes of the text."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(text.encode())
    os.replace(partial, path)


def _next_step(
    outcome: Outcome, request: TuneRequest, serving: Path | None, *, applied: bool
) -> str:
    if serving is None:
        return "Nothing is to be done."
    path = request.serving if applied else serving
    return (
        "Settings are judged like a model before they serve: "
        f"assay gate {outcome.ref.model} {outcome.ref.version} --serving {path}"
    )


def _page(outcome: Outcome, plan: Plan, diff: str, next_step: str) -> str:
    front = set(pareto(outcome.trials))
    lines = [
        f"# Engine settings for {outcome.ref.model} {outcome.ref.version}",
        "",
        outcome.recommendation.reason,
        "",
        next_step,
        "",
    ]
    if diff:
        lines += ["```diff", diff.rstrip("\n"), "```", ""]
    lines += [
        "![Goodput against time to the first word, and cost](pareto.svg)",
        "",
        "| trial | settings | goodput /s | missed at /s | TTFT p99 ms | cost per M tokens | |",
        "|---:|---|---:|---:|---:|---:|---|",
        *(_row(one, outcome, plan, on_front=one.number in front) for one in outcome.trials),
        "",
        "Goodput is the highest rate at which every objective was met; the time to the first word "
        "is that of the lowest rate, which every trial was loaded with.",
        "",
    ]
    return "\n".join(lines)


def _row(trial: TrialRecord, outcome: Outcome, plan: Plan, *, on_front: bool) -> str:
    result = trial.result
    cost = None if result is None else result.cost_per_million_tokens(plan.document.price_per_hour)
    numbers = (
        (None,) * 4
        if result is None
        else (result.goodput_per_s, result.missed_per_s, result.ttft_p99_ms, cost)
    )
    shown = " | ".join("–" if number is None else f"{number:.4g}" for number in numbers)
    after = arguments.with_point(plan.profile, plan.space, trial.point)
    changed = arguments.in_words(arguments.changes(plan.profile, after, plan.space))
    said = "as they are" if trial.number == outcome.present else changed
    remark = f"{trial.state.value}: {trial.reason}" if trial.reason else ""
    if on_front:
        remark = "not beaten in both"
    cells = (said, remark.replace("|", "\\|").replace("\n", " "))
    return f"| {trial.number} | {cells[0]} | {shown} | {cells[1]} |"
