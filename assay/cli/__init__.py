"""The command line: the front door, above every other room.

Decides flags, exit codes and what is printed where; every command calls a function that can be
imported and called without it. People's text goes to stderr; results to stdout; with `--json`,
stdout holds one JSON document and nothing else.

Exit codes: 0 promote (or done), 10 block (or: an artifact or evidence is not what it claims), 11
inconclusive, 12 invalid (or: something the command needs did not answer), 1 crash, 2 usage, 130
interrupted. Modules are imported by the command that needs them, so that `--help` answers at once.
"""

import os
import sys

import typer

from assay.cli import gate, golden, judging, policy, store
from assay.cli.output import ExitCode, complain
from assay.errors import ArtifactError, AssayError, ConfigError, InfrastructureError

app = typer.Typer(
    name="assay",
    help="The release gate for LLM classifiers served by vLLM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("gate")(gate.gate)
app.command("judge")(judging.judge_command)
app.command("verify")(judging.verify)
app.command("selftest")(judging.selftest)
app.command("reap")(gate.reap)
app.command("doctor")(gate.doctor)
app.add_typer(store.app, name="store")
app.add_typer(golden.app, name="golden")
app.add_typer(policy.app, name="policy")


def main() -> None:
    """Runs the command line; turns every error of ours into a message and an exit code."""
    os.environ.setdefault("DO_NOT_TRACK", "true")
    try:
        app()
    except ConfigError as error:
        sys.exit(complain(error, ExitCode.USAGE))
    except ArtifactError as error:
        sys.exit(complain(error, ExitCode.BLOCK))
    except InfrastructureError as error:
        sys.exit(complain(error, ExitCode.INVALID))
    except AssayError as error:
        sys.exit(complain(error, ExitCode.INCONCLUSIVE))
    except KeyboardInterrupt:
        print("interrupted: nothing was promoted, and nothing is left running", file=sys.stderr)
        sys.exit(ExitCode.INTERRUPTED)
