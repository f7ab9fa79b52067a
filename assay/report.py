"""The report: one self-contained HTML file that a release manager reads in a minute.

Decides nothing: every number and sentence in it comes from the verdict and the evaluators' tables,
and the same input gives the same bytes. It loads nothing from anywhere, runs no script, and treats
every name, label and reason as untrusted text.

::

    report_page      what stands where            report_findings  findings, grouped, a row each
    report_kinds     headings and plain words     report_latency   latency's tables
    report_tables    evaluators' tables by shape  report_record    golden set, provenance, commands
    report_strips    the forest plot              report_plots     latency curves
    report_svg       figure → themed inline SVG   report_numbers   units, signs, code spans
    templates/       the page and its style sheet
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from assay.records import Verdict
from assay.report_numbers import prose
from assay.report_page import build_page
from assay.report_svg import drawing


def write_report(path: Path, verdict: Verdict, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the report, whole or not at all.

    Args:
        path: the HTML file; its folder must exist.
        verdict: what the report is about.
        tables: evaluator → table name → value, as in `Evaluation.tables`.
    """
    document = render_report(verdict, tables).encode("utf-8", errors="replace")
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(document)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def render_report(verdict: Verdict, tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the report's HTML; see `write_report`."""
    with drawing():
        page = build_page(verdict, tables)
    return page_template("report.html.j2").render(page=page)


@cache
def page_template(name: str) -> Template:
    """Returns a page of `templates/`; compiling one takes as long as filling it in."""
    environment = Environment(
        loader=PackageLoader("assay", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["prose"] = prose
    return environment.get_template(name)
