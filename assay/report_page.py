"""What stands where in the report: the verdict on top, then one section an evaluator.

Decides order and headings; leaves wording and drawing of the parts to its neighbours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from assay.records import ArtifactRef, Finding, Problem, Verdict, VerdictKind
from assay.report_engines import ENGINES, PERCENTILES, engine_grid, interval_grid
from assay.report_findings import Group, Row, explored_rows, groups_of, is_explored, tally
from assay.report_latency import (
    CURVES,
    LatencyPlot,
    latency_plots,
    objectives_of,
    percentile_grid,
)
from assay.report_latency import KINDS as LATENCY_KINDS
from assay.report_numbers import prose, slug, words
from assay.report_record import Commands, Golden, Provenance, commands, golden, provenance
from assay.report_strips import key_svg
from assay.report_tables import Grid, IdSets, Matrix, grid, id_sets, matrix
from assay.report_timeline import QUEUE, TIMELINE

Tables = Mapping[str, Mapping[str, Any]]

_LOAD_TABLES = (TIMELINE, QUEUE, PERCENTILES, ENGINES)
"""Tables that are drawn, or shown as tables of their own."""

STEPS_SHOWN = 5
"""More next steps than these are folded."""

MEANINGS: Mapping[VerdictKind, str] = {
    VerdictKind.PROMOTE: "Shown to be as good as it must be: every check passed.",
    VerdictKind.BLOCK: "Shown to be worse than it may be, or not what it claims to be.",
    VerdictKind.INCONCLUSIVE: "Not shown either way: the evidence is too thin to decide.",
    VerdictKind.INVALID: "Nothing was learnt about the candidate: the gate could not measure.",
}

TITLES: Mapping[str, str] = {
    "emotion_f1": "Quality, class by class",
    "validity": "Answers that name no label",
    "toxicity": "Toxicity",
    "injection": "Injected instructions",
    "latency": "Latency",
    "calibration": "Calibration",
    "artifact": "The artifact",
    "policy": "Rules of the policy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One evaluator's part: its findings, then what they rest on."""

    id: str
    title: str
    evaluator: str
    tally: Mapping[str, int]
    groups: tuple[Group, ...]
    confusions: tuple[Matrix, ...]
    flips: Matrix | None
    noise: Matrix | None
    plots: tuple[LatencyPlot, ...]
    percentiles: Grid | None
    engines: Grid | None
    ids: tuple[IdSets, ...]
    grids: tuple[Grid, ...]
    explored: tuple[Row, ...]

    @property
    def status(self) -> str:
        """The worst status of a gating finding; empty where there is none."""
        return next((s for s in ("failed", "undecided", "passed") if self.tally[s]), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The whole report, ready for the template."""

    title: str
    kind: str
    word: str
    meaning: str
    candidate: str
    production: str
    summary: Markup
    next_steps: tuple[Markup, ...]
    steps_shown: int
    first_release: bool
    problems: tuple[Problem, ...]
    notes: tuple[Markup, ...]
    only: tuple[str, ...]
    tally: Mapping[str, int]
    sections: tuple[Section, ...]
    key: Markup
    golden: Golden | None
    provenance: Provenance
    commands: Commands
    finished_at: str | None
    run_id: str


def build_page(verdict: Verdict, tables: Tables) -> Page:
    """Returns the page of a verdict and its tables."""
    context = verdict.context
    word = words(verdict.verdict.value)
    sections = _sections(verdict, tables)
    drawn = any(group.axis for section in sections for group in section.groups)
    candidate = _name(context.candidate) or "the candidate"
    return Page(
        title=f"{word}: {candidate}",
        kind=verdict.verdict.value,
        word=word,
        meaning=MEANINGS[verdict.verdict],
        candidate=candidate,
        production=_name(context.production),
        summary=prose(verdict.summary),
        next_steps=tuple(map(prose, verdict.next_steps)),
        steps_shown=STEPS_SHOWN,
        first_release=bool(verdict.metrics) and "production" not in verdict.metrics,
        problems=context.problems,
        notes=tuple(map(prose, context.notes)),
        only=verdict.only,
        tally=tally(verdict.findings),
        sections=sections,
        key=key_svg() if drawn else Markup(""),
        golden=golden(tables),
        provenance=provenance(verdict),
        commands=commands(verdict),
        finished_at=context.finished_at,
        run_id=context.run_id,
    )


def _sections(verdict: Verdict, tables: Tables) -> tuple[Section, ...]:
    names = dict.fromkeys([*(finding.evaluator for finding in verdict.findings), *tables])
    parts = []
    for name in names:
        mine = [finding for finding in verdict.findings if finding.evaluator == name]
        parts.append(_section(name, mine, tables.get(name, {}), verdict))
    return tuple(parts)


def _section(
    name: str, findings: Sequence[Finding], tables: Mapping[str, Any], verdict: Verdict
) -> Section:
    matrices = {key: found for key, value in tables.items() if (found := matrix(name, key, value))}
    ids = {key: sets for key, value in tables.items() if (sets := id_sets(key, value))}
    explored = [finding for finding in findings if is_explored(finding)]
    # The golden set's section shows two of them; findings about slices say more than their table.
    elsewhere = {"power", "relabels", CURVES, *_LOAD_TABLES, *matrices, *ids}
    elsewhere |= {"slices"} if explored else set()
    grids = [grid(name, key, value) for key, value in tables.items() if key not in elsewhere]
    flips, noise = (matrices.pop(key, None) for key in ("flips", "noise_floor"))
    objectives = objectives_of(
        {
            finding.metric.removeprefix(f"{name}/"): finding.margin
            for finding in findings
            if finding.kind == "limit" and finding.margin is not None
        }
    )
    return Section(
        id=slug(name),
        title=TITLES.get(name, words(name)),
        evaluator=name,
        tally=tally(findings),
        groups=groups_of(findings),
        confusions=tuple(matrices.values()),
        flips=flips,
        noise=noise,
        ids=tuple(ids.values()),
        plots=latency_plots(name, tables, objectives),
        percentiles=interval_grid(name, tables, LATENCY_KINDS)
        or percentile_grid(name, verdict.metrics),
        engines=engine_grid(name, tables),
        grids=tuple(item for item in grids if item),
        explored=explored_rows(explored),
    )


def _name(ref: ArtifactRef | None) -> str:
    return "" if ref is None else f"{ref.model} {ref.version}"
