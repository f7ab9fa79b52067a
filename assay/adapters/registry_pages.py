"""What MLflow's pages say, in Markdown: of an experiment, a gate's run, a version and a model.

Decides the words and the links; the verdict's own words are `assay.verdict_markdown`'s. Links begin
with `#`, which MLflow's UI resolves against itself, so they hold under whatever name it is reached.
What people wrote above the gate's part of a model's page stays as it is.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from assay.adapters.registry_layout import RUN_ID
from assay.records import Verdict
from assay.verdict_markdown import as_markdown

EXPERIMENT_TAGS = {
    # Without it the UI opens on its pages for language-model traces, where runs are not to be seen.
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": (
        "Each gate is a run with one child run per model, which carry the same metric keys. Open "
        "a gate's row, select its two children and press **Compare**. The verdict, with a link to "
        "the report, is the gate's own description."
    ),
}
MARK = "*From here on, the gate writes this page.*"

# Column sizes of MLflow's tables: SQLite lets longer values pass, PostgreSQL does not.
LONGEST = 4900
_CUT = "…the rest is in the report."
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_MOVE_BACK_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of an experiment's pages within MLflow's UI."""

    experiment: str

    def run(self, run: str) -> str:
        """Returns the address of a run."""
        return f"#/experiments/{self.experiment}/runs/{run}"

    def record_of(self, run_id: str) -> str:
        """Returns the address of the list that holds nothing but a run of Assay's, by its id."""
        wanted = quote(f'tags.`{RUN_ID}` = "{run_id}"', safe="")
        return f"#/experiments/{self.experiment}/runs?searchFilter={wanted}"

    def report(self, run: str) -> str:
        """Returns the address of a gate's report."""
        return f"{self.run(run)}/artifacts/report.html"

    def compare(self, runs: Sequence[str]) -> str:
        """Returns the address of the comparison of some runs."""
        chosen = quote(json.dumps(list(runs), separators=(",", ":")), safe="")
        inside = quote(json.dumps([self.experiment]), safe="")
        return f"#/compare-runs?runs={chosen}&experiments={inside}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasRow:
    """What a model's page says of one alias."""

    alias: str
    version: str
    number: str
    verdict: str
    gate_run: str | None


def run_page(verdict: Verdict, links: Links, run: str, children: Sequence[str]) -> str:
    """Returns the description of a gate's run."""
    shown = [f"[Report]({links.report(run)})"]
    if len(children) > 1:
        shown.append(f"[Candidate beside production]({links.compare(children)})")
    return _fitting(as_markdown(verdict, notes=(" · ".join(shown),)))


def version_page(verdict: Verdict, links: Links, run: str) -> str:
    """Returns the description of a registered version."""
    note = f"[Report]({links.report(run)}) · [Run of the gate]({links.run(run)})"
    return _fitting(as_markdown(verdict, notes=(note,)))


def model_page(
    before: str, links: Links, aliases: Sequence[AliasRow], moves: Mapping[str, str]
) -> str:
    """Returns the description of a registered model.

    Args:
        before: its description so far; what stands above `MARK` is kept.
        links: of the model's experiment.
        aliases: its aliases, in the order in which they are shown.
        moves: what `registry_moves.told` says of each move of `production`, by its time, to the
            microsecond; seconds are shown.
    """
    own = (before or "").partition(MARK)[0].strip()
    lines = ["| alias | version | its latest verdict | |", "|---|---|---|---|"]
    for row in aliases:
        report = f"[report]({links.report(row.gate_run)})" if row.gate_run else ""
        shown = f"{row.version} (version {row.number})"
        lines.append(f"| `{row.alias}` | {shown} | {row.verdict} | {report} |")
    lines += ["", "**How `production` moved**", ""]
    lines += [_move(at, moves[at], links) for at in sorted(moves, reverse=True)]
    page = "\n".join([MARK, "", *lines]) if aliases else ""
    return _fitting("\n\n".join(part for part in (own, page) if part), "…and earlier ones (tags).")


def _move(at: str, told: str, links: Links) -> str:
    what, _, run = told.rpartition("; run ")
    if _RUN_ID.fullmatch(run):
        run = f"[its gate]({links.run(run)})"
    elif _MOVE_BACK_ID.fullmatch(run):  # moved first and recorded then, so that no run was known
        run = f"[its record]({links.record_of(run)})"
    return f"- {at.partition('.')[0].removesuffix('Z')}Z: {_plain(what)} ({run})"


def _plain(text: str) -> str:
    """One line that is no mark-up, whatever somebody gave as a reason."""
    line = " ".join(text.split()).replace("&", "&amp;")
    return line.replace("<", "&lt;").replace("[", "&#91;").replace("*", "&#42;")


def _fitting(text: str, cut: str = _CUT) -> str:
    """Drops lines from the end until it fits a column."""
    if len(text) <= LONGEST:
        return text
    lines = text[: LONGEST - len(cut) - 2].split("\n")[:-1]
    return "\n".join([*lines, "", cut])
