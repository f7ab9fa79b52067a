"""`--junit` and `--summary`: the same verdict in the files that CI systems show.

Decides where they go; what they say is `verdict_junit`'s and `verdict_markdown`'s.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from assay.records import Verdict

Junit = Annotated[
    Path | None,
    typer.Option("--junit", help="Also write JUnit XML, one test case a finding, to this file."),
]
Summary = Annotated[
    Path | None,
    typer.Option(
        "--summary", help='Also append Markdown to this file, such as "$GITHUB_STEP_SUMMARY".'
    ),
]


def write_ci_files(
    verdict: "Verdict",
    *,
    junit: Path | None,
    summary: Path | None,
    evidence: Path | None = None,
    not_promoted: str | None = None,
) -> None:
    """Writes the files that were asked for.

    A summary is added to what the file holds, as GitHub's convention wants; JUnit XML replaces it.
    """
    if junit is not None:
        from assay.verdict_junit import junit_bytes

        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.write_bytes(junit_bytes(verdict, not_promoted=not_promoted))
    if summary is not None:
        from assay.verdict_markdown import as_markdown

        notes = [] if not_promoted is None else [f"**Not promoted**: {not_promoted}"]
        summary.parent.mkdir(parents=True, exist_ok=True)
        with summary.open("a", encoding="utf-8") as stream:
            stream.write(as_markdown(verdict, evidence=evidence, notes=notes) + "\n")
