"""The command line: the front door, above every other room.

Decides flags, exit codes and what is printed where; every command calls a function that can be
imported and called without it. People's text goes to stderr; results to stdout; with `--json`,
stdout holds one JSON document and nothing else, also when a command fails.

Exit codes: 0 promote (or done), 10 block (or: an artifact, evidence or the self-test is not what it
should be), 11 inconclusive, 12 invalid (or: something the command needs did not answer), 1 crash
(or: a promote whose alias did not move), 2 usage, 130 interrupted. Modules are imported by the
command that needs them, so that `--help` answers at once.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from assay.adapters.log_json import LogFormat, configure
from assay.cli import (
    approve,
    audit,
    explain,
    gate,
    golden,
    init,
    judging,
    loadtest,
    notify,
    policy,
    review,
    rollback,
    store,
    tune,
    verify,
)
from assay.cli.output import ExitCode, complain, print_line, terminable, tolerate_encodings
from assay.errors import ArtifactError, AssayError, ConfigError, InfrastructureError

TRACEBACK = "ASSAY_TRACEBACK"

app = typer.Typer(
    name="assay",
    help="The release gate for LLM classifiers served by vLLM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.command("gate")(gate.gate)
app.command("judge")(judging.judge_command)
app.command("verify")(verify.verify)
app.command("explain")(explain.explain)
app.command("approve")(approve.approve)
app.command("override")(approve.override)
app.command("loadtest")(loadtest.loadtest)
app.command("tune")(tune.tune)
app.command("selftest")(judging.selftest)
app.command("rollback")(rollback.rollback)
app.command("reap")(gate.reap)
app.command("doctor")(gate.doctor)
app.command("audit")(audit.audit)
app.add_typer(store.app, name="store")
app.add_typer(golden.app, name="golden")
app.add_typer(policy.app, name="policy")
app.add_typer(review.app, name="review")
app.add_typer(notify.app, name="notify")
app.add_typer(verify.app, name="audit-log")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print_line(f"assay {version('assay-gate')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say which it is."),
    ] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(
            envvar="ASSAY_LOG_FORMAT", help="What is told on stderr: lines of text, or JSON."
        ),
    ] = "text",
) -> None:
    """The release gate for LLM classifiers served by vLLM."""
    configure(log_format, level=os.environ.get("ASSAY_LOG_LEVEL") or "info")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; turns every error into a message and an exit code.

    Args:
        arguments: without the program's name; the process's own if None.

    Returns:
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    os.environ.setdefault("DO_NOT_TRACK", "true")
    tolerate_encodings()
    try:
        with terminable():
            code = app(args=given, prog_name="assay", standalone_mode=False)
    except KeyboardInterrupt:  # before Typer looks for it, or after it has stopped
        code = ExitCode.INTERRUPTED
    except Exception as error:  # the one place where a crash becomes a sentence
        return _failed(error, as_json=as_json)
    if code == ExitCode.INTERRUPTED:
        return complain(
            "Interrupted",
            "interrupted; what it started is stopped, and the same command may be run again",
            ExitCode.INTERRUPTED,
            as_json=as_json,
        )
    return int(code or 0)


def _failed(error: Exception, *, as_json: bool) -> int:
    if isinstance(error, typer.TyperException):
        return _misused(error, as_json=as_json)
    kind, message, code = type(error).__name__, str(error), ExitCode.INCONCLUSIVE
    if isinstance(error, ConfigError):
        code = ExitCode.USAGE
    elif isinstance(error, ArtifactError):
        code = ExitCode.BLOCK
    elif isinstance(error, InfrastructureError):
        code = ExitCode.INVALID
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        code = ExitCode.INVALID
        message = f"{where}{error.strerror or kind}; see that it exists, is yours and has room"
    elif not isinstance(error, AssayError):
        code, message = ExitCode.CRASH, _defect(error)
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    return complain(kind, message, code, as_json=as_json)


def _misused(error: typer.TyperException, *, as_json: bool) -> int:
    """Says what is wrong with the command; without any arguments, the error is the help."""
    if not as_json and hasattr(error, "show"):
        error.show()
        return error.exit_code
    message = f"{error.format_message().rstrip('.')}; see `assay --help`"
    return complain("UsageError", message, ExitCode.USAGE, as_json=as_json)


def _defect(error: Exception) -> str:
    """Says where a crash happened; its message could quote a case's text and stays unsaid."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return (
        f"crashed ({type(error).__name__} in {place}); nothing was decided. This is a defect of "
        f"Assay: report it with the traceback that {TRACEBACK}=1 shows"
    )
