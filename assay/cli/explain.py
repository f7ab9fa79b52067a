"""`assay explain`: what a recorded gate said, why, and what to do next."""

from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.ci_files import Junit, Summary, write_ci_files
from assay.cli.completion import run_names
from assay.cli.output import print_line
from assay.cli.verdict_table import print_verdict

if TYPE_CHECKING:
    from assay.ports import Registry


def explain(
    run: Annotated[
        str,
        typer.Argument(
            help="A gate's id, an evidence folder, or the id of an MLflow run.",
            autocompletion=run_names,
        ),
    ],
    junit: Junit = None,
    summary: Summary = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print verdict.json to stdout.")] = False,
) -> None:
    """Shows a recorded verdict with its reasons; the exit code is 0 whatever it was.

    Example: assay explain .assay/reports/20261123T151200Z-1f2e3d4c
    """
    from flows.explaining import explain as find
    from flows.settings import from_environment

    def registry() -> "Registry":
        from flows.wiring import registry_to_read

        return registry_to_read(settings)

    settings = from_environment()
    found = find(run, settings, registry)
    print_verdict(found.verdict, as_json=as_json)
    write_ci_files(found.verdict, junit=junit, summary=summary, evidence=found.folder)
    if as_json:
        return
    for finding in found.verdict.findings:
        if finding.gating and finding.status.value != "passed":
            where = finding.metric if finding.slice is None else f"{finding.metric} {finding.slice}"
            print_line(f"{finding.status.value}: {where}: {finding.reason}")
    context = found.verdict.context
    asked = f" for {context.who}" if context.who else ""
    print_line(
        f"judged{asked}, {context.started_at} to {context.finished_at}, run {context.run_id}"
    )
    for note in context.notes:
        print_line(f"note: {note}")
    print_line(f"report: {found.folder / 'report.html'}")
    print_line(f"prove it: assay verify {found.folder}")
