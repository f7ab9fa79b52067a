"""What all commands share: an example that parses, --json, exit codes, completion, plain logs."""

import builtins
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from assay import errors
from assay.cli import app
from assay.cli.output import ExitCode
from assay.records import VerdictKind
from tests.cli.conftest import Assay

ROOT = Path(__file__).parents[2]
PRINTS_A_DOCUMENT_ANYWAY = {"approve", "override"}
FILES = ("signing-key.pem", "chat_template.jinja", "compose.yaml", "deployment.yaml",
         "golden.jsonl", "policy.yaml", "train.jsonl", "sketch.salt", "export.json")  # fmt: skip
FOLDERS = ("model-folder",)


def commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Yields (its words, the command) for every command that does something."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield " ".join([*path, name]), command


def tree() -> Any:
    return typer.main.get_command(app)


NAMES = [name for name, _ in commands(tree())]


def example_of(command: Any) -> str:
    """Returns the paragraph of a command's help that begins with `Example:`, as one line."""
    found = re.search(r"Example: (assay .+?)(?:\n\n|\Z)", command.help or "", re.DOTALL)
    return " ".join(found[1].split()) if found else ""


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_an_example_that_parses_as_that_very_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in FILES:
        (tmp_path / file).touch()
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    root, called = tree(), []
    for each, command in commands(root):
        command.callback = lambda each=each, **given: called.append(each)
    example = example_of(dict(commands(root))[name])
    assert example.startswith(f"assay {name}"), f"no example in the help of {name}"
    root(args=shlex.split(example)[1:], prog_name="assay", standalone_mode=False)
    assert called == [name]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_prints_json(name: str) -> None:
    flags = {flag for option in dict(commands(tree()))[name].params for flag in option.opts}
    assert ("--json" in flags) == (name not in PRINTS_A_DOCUMENT_ANYWAY)


def test_the_help_shows_the_example(assay: Assay) -> None:
    assert "Example: assay reap" in assay("reap", "--help").out


def table(heading: str) -> list[list[str]]:
    """Returns the rows of the table of docs/exit-codes.md whose first column is `heading`."""
    lines = (ROOT / "docs" / "exit-codes.md").read_text().splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def test_the_table_lists_every_exit_code_and_the_readme_no_other() -> None:
    codes = {int(row[0]) for row in table("code")}
    assert codes == {int(code) for code in ExitCode} | {kind.exit_code for kind in VerdictKind}
    names = {name: int(row[0]) for row in table("code") for name in row[1].split(", ")}
    for code in ExitCode.__members__.items():
        assert names[code[0].lower().replace("_", " ")] == code[1]
    readme = (ROOT / "README.md").read_text()
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", readme, re.MULTILINE)} <= codes


@pytest.mark.parametrize(("kind", "code"), table("error"))
@pytest.mark.parametrize("form", ["text", "json"])
def test_every_error_ends_in_the_tables_code(
    assay: Assay, monkeypatch: pytest.MonkeyPatch, kind: str, code: str, form: str
) -> None:
    error = getattr(errors, kind, None) or getattr(builtins, kind)

    def fails(*arguments: object) -> None:
        raise error("so it is")

    monkeypatch.setattr("flows.wiring.reap_everything", fails)
    done = assay("reap", *(["--json"] if form == "json" else []))
    assert done.code == int(code)
    if form == "json":
        assert set(done.document) == {"error"}
    else:
        assert done.out == ""
        assert done.err


def test_the_table_of_errors_lists_the_whole_tree() -> None:
    kinds = {kind.__name__ for kind in errors.AssayError.__subclasses__()}
    assert kinds <= {row[0] for row in table("error")}


def completed(folder: Path, words: str, **environment: str) -> list[str]:
    """Asks the program what bash would: the words typed so far, the last one incomplete."""
    typed = words.split(" ")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("assay"))],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "_ASSAY_COMPLETE": "complete_bash",
             "COMP_WORDS": words, "COMP_CWORD": str(len(typed) - 1), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for version in ("1.0.0", "1.1.0", ".staging"):
        (tmp_path / ".assay" / "store" / "emotion-demo" / version).mkdir(parents=True)
    (tmp_path / ".assay" / "store" / "intent" / "2.0.0").mkdir(parents=True)
    for run in ("20261123T1-a", "20261124T1-b"):
        (tmp_path / ".assay" / "runs" / run).mkdir(parents=True)
    (tmp_path / "notifications.yaml").write_text(
        "schema_version: 1\nchannels:\n  - {kind: slack, name: team, url_env: X}\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("assay selft", ["selftest"]),
        ("assay golden pub", ["publish"]),
        ("assay gate --prof", ["--profile"]),
        ("assay gate --profile ", ["cpu", "gpu"]),
        ("assay gate emo", ["emotion-demo"]),
        ("assay gate ", ["emotion-demo", "intent"]),
        ("assay gate emotion-demo ", ["1.0.0", "1.1.0"]),
        ("assay gate intent ", ["2.0.0"]),
        ("assay gate ../.. ", []),
        ("assay rollback emotion-demo --to 1.1", ["1.1.0"]),
        ("assay store verify emotion-demo 1.", ["1.0.0", "1.1.0"]),
        ("assay explain 2026", ["20261124T1-b", "20261123T1-a"]),
        ("assay gate --resume 20261123", ["20261123T1-a"]),
        ("assay notify test --channel ", ["team"]),
    ],
)
def test_the_shell_completes(machine: Path, words: str, expected: list[str]) -> None:
    assert completed(machine, words) == expected


@pytest.mark.parametrize(
    "environment",
    [{"ASSAY_STORE": "s3://bucket/models"}, {"ASSAY_STORE_OPTIONS": "nonsense"},
     {"ASSAY_STORE": "/nowhere/at/all"}],
)  # fmt: skip
def test_what_cannot_be_looked_up_cheaply_completes_nothing(
    machine: Path, environment: dict[str, str]
) -> None:
    assert completed(machine, "assay gate ", **environment) == []


def test_bash_itself_completes_once_it_has_read_the_script(machine: Path) -> None:
    program = (
        "source <(assay --show-completion); COMP_WORDS=(assay gate emo); COMP_CWORD=2; "
        '_assay_completion assay; echo "${COMPREPLY[@]}"'
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", program], cwd=machine, capture_output=True, text=True,
        timeout=60, check=True, env={"PATH": path, "HOME": str(machine)},
    )  # fmt: skip
    assert done.stdout.split() == ["emotion-demo"], done.stderr


WORK = """
import sys, time
from assay.cli.output import TimedProgress, print_line, results_only
progress = TimedProgress()
with results_only():
    progress("pulling")
    print("a library's line")
    time.sleep(1.2)
    progress("asking")
print_line("the result")
"""


def worked(*, terminal: bool, **environment: str) -> tuple[str, str]:
    """Returns stdout and stderr of a piece of work whose stderr is a terminal, or a pipe."""
    shown, there = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", WORK], cwd=ROOT, stdout=subprocess.PIPE,
            stderr=there if terminal else subprocess.PIPE, timeout=60, check=True,
            env={"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "80", **environment},
        )  # fmt: skip
        os.close(there)
        err = os.read(shown, 65536) if terminal else done.stderr
    finally:
        os.close(shown)
    return done.stdout.decode(), err.decode().replace("\r\n", "\n")


def lines(text: str) -> list[str]:
    return [re.sub(r"\[ *[\d.]+ s\]", "[t]", line) for line in text.splitlines()]


PLAIN = ["[t] pulling", "a library's line", "[t] asking"]


@pytest.mark.parametrize(
    ("terminal", "environment"),
    [(False, {}), (True, {"CI": "true"}), (True, {"TERM": "dumb"})],
)
def test_a_log_gets_plain_lines(terminal: bool, environment: dict[str, str]) -> None:
    out, err = worked(terminal=terminal, **environment)
    assert out == "the result\n"
    assert lines(err) == PLAIN


def test_a_terminal_shows_what_is_being_done_and_keeps_the_same_lines() -> None:
    out, err = worked(terminal=True)
    assert out == "the result\n"
    assert "\x1b[" in err
    assert "0:00:01" in err  # how long the step takes so far
    kept = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err).replace("\r", "\n")
    for line in PLAIN:
        assert line in lines(kept)
    assert "\x1b[?25h" in err  # the cursor is shown again


def test_an_interruption_before_the_command_has_begun_is_told_like_any_other(
    assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*words: Any, **named: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("assay.cli.app", interrupted)
    done = assay("audit-log", "verify", "--json")
    assert done.code == ExitCode.INTERRUPTED
    assert "interrupted" in done.error
