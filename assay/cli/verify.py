"""`assay verify` and `assay audit-log`: is this evidence, or this log, what it claims to be?

Exit codes of `verify`, for scripts that deploy: 0 everything that was asked for is proved, 10 it is
not what it claims to be (or, with --deploy, must not be deployed), 2 a file is missing or wrong.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.output import print_json, print_line, say
from assay.cli.verdict_table import print_verdict

app = typer.Typer(no_args_is_help=True, help="The log of verdicts, approvals and promotions.")


def verify(
    evidence_dir: Annotated[Path, typer.Argument(help="An evidence folder.")],
    artifact: Annotated[
        Path | None,
        typer.Option(help="A copy of the model: prove that it is the one that was judged."),
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="Whose signatures count. Default: ASSAY_TRUST, trust.yaml.")
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(help="A gate's public key, in place of a trust file; may be repeated."),
    ] = None,
    deploy: Annotated[
        bool, typer.Option("--deploy", help="Fail unless the verdict lets the artifact be used.")
    ] = False,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Look at evidence that nobody has signed, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print verdict.json to stdout.")] = False,
) -> None:
    """Proves offline that a trusted gate signed this evidence and that its verdict follows from it.

    Example: assay verify evidence --artifact /models/emotion --key gate.pub --deploy
    """
    from flows.proving import prove, trust_of
    from flows.settings import from_environment

    proof = prove(
        evidence_dir,
        trust_of(trust or from_environment().trust, tuple(key or ())),
        datetime.now(UTC),
        artifact=artifact,
        deploy=deploy,
        unsigned=unsigned,
    )
    for sentence in proof.sentences:
        say(f"{evidence_dir}: {sentence}")
    print_verdict(proof.verdict, as_json=as_json)


@app.command("verify")
def verify_log(
    path: Annotated[
        Path | None, typer.Argument(help="The log. Default: this machine's audit.jsonl.")
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Evidence whose signature notes how long the log was; may be repeated."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model whose runs in MLflow note how long the log was."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Proves that no entry was edited, removed, added or moved, and that none was cut off.

    Without --against, the signed evidence of this machine says how long the log must be at least.

    Example: assay audit-log verify --against .assay/reports/20261123T151200Z-1f2e3d4c
    """
    from assay.audit_log import AuditLog
    from flows.auditing import noted_heads
    from flows.settings import from_environment

    settings = from_environment()
    heads = noted_heads(settings, against, tuple(model or ()))
    report = AuditLog(path or settings.audit_log).verify(heads)
    entries = len(report.entries)
    if as_json:
        head = None if report.head is None else report.head.head
        document = {"entries": entries, "head": head, "heads": len(heads), "torn": report.torn}
        print_json(document)
        return
    print_line(f"{entries} entries, unbroken, and as long as {len(heads)} noted lengths ask for")
    if not heads:
        say("nothing notes how long this log was: entries cut off at its end would not be seen")
    if report.torn:
        say("the last line was never finished (a writer was killed); the next entry mends it")


@app.command("show")
def show(
    path: Annotated[
        Path | None, typer.Argument(help="The log. Default: this machine's audit.jsonl.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Prints the log, one line an entry, after verifying it.

    Example: assay audit-log show
    """
    from assay.audit_log import AuditLog
    from flows.settings import from_environment

    entries = AuditLog(path or from_environment().audit_log).verify().entries
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    for entry in entries:
        what = f"{entry.model} {entry.version}" if entry.model else entry.version or entry.run_id
        when = f"{entry.at:%Y-%m-%dT%H:%M:%SZ}"
        line = f"{entry.number:5} {when} {entry.who}: {entry.what} {what or ''}"
        print_line(f"{line.rstrip()} {entry.note}".rstrip())
