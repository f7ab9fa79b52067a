"""The other commands: help, store, golden set, policy, self-test, doctor; and what a crash says."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Assay
from tests.cli_desk import POLICY, SECRET, Desk

HEAVY = {
    "mlflow", "prefect", "great_expectations", "datasets", "sklearn", "matplotlib", "pandas",
    "numpy", "scipy", "dvc", "docker", "openai", "aiohttp", "httpx",
}  # fmt: skip


def loaded_by(*arguments: str, folder: Path) -> set[str]:
    """Runs the program; returns the top-level names of the modules it had loaded in the end."""
    program = (
        "import sys\nfrom assay.cli import main\ncode = main(sys.argv[1:])\n"
        "print('\\n'.join({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder, env={"PYTHONPATH": str(root)}, capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    return set(done.stderr.decode().split())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["gate", "--help"], ["store", "publish", "--help"]]
)
def test_help_answers_without_loading_anything_heavy(arguments: list[str], tmp_path: Path) -> None:
    loaded = loaded_by(*arguments, folder=tmp_path)
    assert "typer" in loaded
    assert loaded & HEAVY == set()


def test_judging_loads_no_server_registry_or_orchestrator(desk: Desk) -> None:
    loaded = loaded_by(*map(str, desk.judge("--json")), folder=desk.folder)
    assert "numpy" in loaded
    heavy = {"mlflow", "prefect", "great_expectations", "datasets", "sklearn", "matplotlib", "dvc"}
    assert loaded & heavy == set()


def test_every_command_is_listed_and_explains_itself(assay: Assay) -> None:
    shown = assay("--help")
    assert shown.code == 0
    for name in ("gate", "judge", "verify", "selftest", "reap", "doctor", "store", "golden"):
        assert f" {name} " in shown.out
        assert assay(name, "--help").code == 0
    assert assay("--version").out.startswith("assay 0")


def test_no_arguments_show_the_help_and_are_a_usage_error(assay: Assay) -> None:
    done = assay()
    assert done.code == 2
    assert "judge" in done.out + done.err


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["--jsn"], ["golden", "chekc"], ["gate"], ["store", "pull"]]
)
def test_a_mistyped_command_is_a_usage_error_in_json_too(
    assay: Assay, arguments: list[str]
) -> None:
    for_people = assay(*arguments)
    assert (for_people.code, for_people.out) == (2, "")
    assert for_people.err
    done = assay(*arguments, "--json")
    assert done.code == 2
    assert done.document["error"]["kind"] == "UsageError"


def test_a_crash_is_told_without_its_message_which_could_quote_a_case(
    assay: Assay, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object, **more: object) -> None:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr("flows.rejudge.judge_files", crash)
    done = assay(*desk.judge("--json"))
    assert done.code == 1
    assert "crashed (ZeroDivisionError in test_commands.py:" in done.error
    assert SECRET not in done.out + done.err


def test_a_disk_error_is_no_crash(
    assay: Assay, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **more: object) -> None:
        raise OSError(28, "No space left on device", "verdict.json")

    monkeypatch.setattr("flows.rejudge.judge_files", full)
    done = assay(*desk.judge("--json"))
    assert done.code == 12
    assert "verdict.json: No space left on device" in done.error


def test_a_good_golden_set_passes_every_check(assay: Assay, desk: Desk) -> None:
    done = assay("golden", "check", "golden.jsonl", "--json")
    assert done.code == 0
    assert done.document["size"] == 300
    assert done.document["healthy"] is True
    structure = [c for c in done.document["checks"] if c["check"].startswith("structure/")]
    assert {check["status"] for check in structure} == {"passed"}
    unknown = {c["check"] for c in done.document["checks"] if c["status"] == "undecided"}
    assert {"traffic/words", "labels/agreement", "wear/uses"} <= unknown
    for_people = assay("golden", "check", "golden.jsonl")
    assert for_people.out.count("\n") == len(done.document["checks"])
    assert SECRET not in for_people.out + for_people.err


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda desk: desk.cases[3].update(label="glee"), "golden.jsonl:4: case 'c-0003'"),
        (lambda desk: desk.cases[3].update(id="c-0000"), "golden.jsonl:4: id 'c-0000' appears"),
        (lambda desk: desk.cases[3].update(text=desk.cases[2]["text"]), "c-0003"),
        (lambda desk: desk.cases[3].update(text=""), "golden.jsonl:4: text: the text is empty"),
        (lambda desk: desk.cases.clear(), "holds no case"),
    ],
)
def test_a_bad_golden_set_fails_its_check(
    assay: Assay, desk: Desk, spoil: Callable[[Desk], None], words: str
) -> None:
    spoil(desk)
    desk.write("golden.jsonl", desk.cases)
    done = assay("golden", "check", "golden.jsonl", "--json")
    assert done.code == 10
    assert done.document["healthy"] is False
    failed = [check for check in done.document["checks"] if check["status"] == "failed"]
    assert words in failed[0]["reason"]
    assert SECRET not in done.out + done.err


@pytest.mark.parametrize("command", ["check", "stats"])
def test_a_golden_set_that_is_not_there_is_a_usage_error(
    assay: Assay, desk: Desk, command: str
) -> None:
    for arguments in ([], ["nowhere.jsonl"], ["v9.9"]):
        done = assay("golden", command, *arguments)
        assert (done.code, done.out) == (2, "")
        assert "golden" in done.err


def test_the_golden_set_is_counted_as_json(assay: Assay, desk: Desk) -> None:
    done = assay("golden", "stats", "golden.jsonl", "--json")
    assert done.code == 0
    assert done.document["tables"]["counts"]["cases"] == 300
    assert SECRET not in done.out


def test_a_policy_is_explained_and_too_small_a_set_is_told(assay: Assay, desk: Desk) -> None:
    done = assay("policy", "check", "policy.yaml", "--golden", "golden.jsonl", "--json")
    assert done.code == 0
    assert any("0.1 below production" in sentence for sentence in done.document["sentences"])
    desk.write("policy.yaml", POLICY.replace("margin: 0.1,", "margin: 0.001,"))
    strict = assay("policy", "check", "policy.yaml", "--golden", "golden.jsonl")
    assert strict.code == 0
    assert "warning: emotion_f1: " in strict.err
    assert "warning" not in strict.out


def test_the_gate_is_sound_on_good_answers(assay: Assay, desk: Desk) -> None:
    done = assay("selftest", "--golden", "golden.jsonl", "--production", "production.jsonl")
    assert done.code == 0, done.out
    assert "identical" in done.out


@pytest.mark.parametrize("path", [".", "nowhere", "golden.jsonl"])
def test_what_is_no_evidence_cannot_be_verified(assay: Assay, desk: Desk, path: str) -> None:
    done = assay("verify", path, "--json")
    assert done.code == 2
    assert "no finished evidence" in done.error


def test_doctor_says_what_is_missing_and_how_to_mend_it(
    assay: Assay, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("ASSAY_HOME", "ASSAY_STORE", "ASSAY_TRUST"):
        monkeypatch.delenv(name, raising=False)
    done = assay("doctor", "--json")
    assert done.code == 0
    checks = {check["what"]: check for check in json.loads(done.out)["checks"]}
    lacking = {what for what, check in checks.items() if check["mend"]}
    assert "Python" not in lacking
    assert {"trusted keys", "trusted store", "registry (MLflow)", "golden set"} <= lacking
    assert "hunter2" not in done.out + done.err
    for_people = assay("doctor").out
    assert "✗ trusted keys: " in for_people
    assert "✓ Python: " in for_people


def test_doctor_says_which_channel_of_the_notifications_cannot_be_told(
    assay: Assay, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    path = tmp_path / "notifications.yaml"
    monkeypatch.setenv("ASSAY_NOTIFICATIONS", str(path))
    channel = "{kind: slack, name: team, url_env: TEAM_URL}"

    def found() -> dict[str, str | None]:
        checks = json.loads(assay("doctor", "--json").out)["checks"]
        return next(one for one in checks if one["what"] == "who is told (notifications)")

    path.write_text("schema_version: 1\nchannels: []\n")
    assert "channels" in (found()["found"] or "")
    path.write_text(f"schema_version: 1\nchannels: [{channel}]\n")
    assert found()["found"] == "not set: TEAM_URL"
    assert "assay notify test" in (found()["mend"] or "")
    monkeypatch.setenv("TEAM_URL", "https://hooks.example/T0/secret")
    assert found()["mend"] is None
    assert "secret" not in (found()["found"] or "")
