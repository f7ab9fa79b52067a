"""`assay judge`: what the files say, an exit code, and one document on stdout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Assay
from tests.cli_desk import POLICY, SECRET, Desk, answer

WITH_MORE = POLICY + "  toxicity: {max_rate: 0.2}\n  latency: {}\n"


def test_an_equal_candidate_is_promoted(assay: Assay, desk: Desk) -> None:
    done = assay(*desk.judge("--json"))
    assert (done.code, done.document["verdict"]) == (0, "promote")
    assert done.document["context"]["run_id"] == "judge"
    assert done.err == ""


def test_a_broken_class_blocks_and_is_named(assay: Assay, desk: Desk) -> None:
    desk.write("candidate.jsonl", desk.answers(seed=1, fear="anger"))
    done = assay(*desk.judge("--json"))
    assert (done.code, done.document["verdict"]) == (10, "block")
    failed = {f["class"] for f in done.document["findings"] if f["status"] == "failed"}
    assert "fear" in failed
    assert "fear" in done.document["summary"]


def test_too_few_cases_are_inconclusive_and_say_how_many_more(assay: Assay, desk: Desk) -> None:
    desk.cases = desk.cases[::25]
    desk.write("golden.jsonl", desk.cases)
    for name in ("production", "candidate"):
        desk.write(f"{name}.jsonl", desk.answers(seed=1))
    done = assay(*desk.judge("--json"))
    assert (done.code, done.document["verdict"]) == (11, "inconclusive")
    assert any("more" in step for step in done.document["next_steps"])


def test_the_same_files_give_the_same_bytes(assay: Assay, desk: Desk) -> None:
    desk.write("candidate.jsonl", desk.answers(accuracy=0.8, seed=3))
    first = assay(*desk.judge("--json"))
    rows = desk.answers(accuracy=0.8, seed=3)
    desk.write("candidate.jsonl", reversed(rows))
    desk.write("golden.jsonl", reversed(desk.cases))
    assert assay(*desk.judge("--json")).out == first.out


def test_judging_only_some_says_so_and_may_not_move_an_alias(assay: Assay, desk: Desk) -> None:
    desk.write("policy.yaml", WITH_MORE)
    done = assay(*desk.judge("--json", "--only", "validity, emotion_f1,validity"))
    assert (done.code, done.document["verdict"]) == (0, "promote")
    assert done.document["only"] == ["validity", "emotion_f1"]
    assert "may not move an alias" in done.document["summary"]
    assert {f["evaluator"] for f in done.document["findings"]} == {"emotion_f1", "validity"}


@pytest.mark.parametrize("only", ["toxicity", "emotion_f1,accuracy", "", " , "])
def test_judging_only_what_the_policy_does_not_name_is_a_usage_error(
    assay: Assay, desk: Desk, only: str
) -> None:
    done = assay(*desk.judge("--json", "--only", only))
    assert done.code == 2
    assert "--only" in done.error
    assert list(done.document) == ["error"]


def test_what_the_policy_names_and_nobody_measured_is_never_a_pass(
    assay: Assay, desk: Desk
) -> None:
    desk.write("policy.yaml", WITH_MORE)
    done = assay(*desk.judge("--json"))
    assert (done.code, done.document["verdict"]) == (11, "inconclusive")
    gating = [finding for finding in done.document["findings"] if finding["gating"]]
    undecided = {f["evaluator"]: f for f in gating if f["status"] == "undecided"}
    assert set(undecided) == {"toxicity", "latency"}
    assert "probe" in undecided["toxicity"]["reason"]
    assert "latency" in undecided["latency"]["reason"]
    assert all(f["candidate"] is None for f in undecided.values())
    measured = done.document["metrics"]["candidate"]
    assert not [key for key in measured if key.startswith(("toxicity", "latency"))]


def test_without_production_the_policy_decides_whether_there_is_a_verdict(
    assay: Assay, desk: Desk
) -> None:
    command = [part for part in desk.judge("--json") if part not in ("--production",)]
    command.remove("production.jsonl")
    refused = assay(*command)
    assert (refused.code, refused.document["verdict"]) == (12, "invalid")
    assert "first release" in refused.reason

    desk.write("policy.yaml", POLICY.replace("refuse", "allow"))
    allowed = assay(*command)
    assert (allowed.code, allowed.document["verdict"]) == (0, "promote")
    assert {f["kind"] for f in allowed.document["findings"] if f["gating"]} == {"floor", "limit"}
    assert all(f["production"] is None for f in allowed.document["findings"])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--candidate-probes", "candidate.jsonl"], "need --probes"),
        (["--context", "nowhere.json"], "nowhere.json: no such file"),
        (["--task", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["--policy", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["--policy", "."], "cannot be read"),
        (["--polcy", "policy.yaml"], "--polcy"),
        (["stray"], "stray"),
    ],
)
def test_a_wrong_flag_is_a_usage_error(
    assay: Assay, desk: Desk, flags: list[str], words: str
) -> None:
    done = assay(*desk.judge("--json"), *flags)
    assert done.code == 2
    assert words in done.error


def test_productions_other_answers_are_not_passed_over_in_silence(assay: Assay, desk: Desk) -> None:
    command = ["judge", "--golden", "golden.jsonl", "--candidate", "candidate.jsonl",
               "--policy", "policy.yaml", "--json"]  # fmt: skip
    done = assay(*command, "--production-latency", "production.jsonl")
    assert done.code == 2
    assert "need --production" in done.error


def test_a_missing_flag_names_it(assay: Assay, desk: Desk) -> None:
    done = assay("judge", "--golden", "golden.jsonl", "--policy", "policy.yaml", "--json")
    assert done.code == 2
    assert "--candidate" in done.error


def test_people_get_the_verdict_the_checks_and_what_to_do(assay: Assay, desk: Desk) -> None:
    desk.write("candidate.jsonl", desk.answers(seed=1, fear="anger"))
    done = assay(*desk.judge())
    assert done.code == 10
    lines = done.out.splitlines()
    assert lines[0].startswith("BLOCK  ")
    assert "fear" in lines[0]
    assert any(line.startswith("✗  emotion_f1/fear (non-inferiority)") for line in lines)
    assert any(line.startswith("  • Mend `fear`") for line in lines)
    assert "\x1b" not in done.out
    assert SECRET not in done.out + done.err


def test_a_narrow_terminal_cuts_nothing_and_colour_can_be_refused(desk: Desk) -> None:
    shown = _on_a_terminal(desk, columns=46)
    assert "\x1b[" in shown
    assert "emotion_f1/macro (non-inferiority)" in shown
    assert "    candidate  0." in shown
    assert "…" not in shown
    plain = _on_a_terminal(desk, columns=46, NO_COLOR="1")
    assert "\x1b[32m" not in plain
    wide = _on_a_terminal(desk, columns=140)
    assert "    candidate  0." not in wide


def _on_a_terminal(desk: Desk, *, columns: int, **environment: str) -> str:
    """Runs the command on a pseudo-terminal of that width."""
    script = Path(__file__).with_name("on_a_terminal.py")
    done = subprocess.run(
        [sys.executable, script, str(columns), *map(str, desk.judge())],
        cwd=desk.folder,
        env={"PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "LANG": "C.UTF-8"} | environment,
        capture_output=True,
        timeout=120,
        check=True,
    )
    return done.stdout.decode()


def test_a_terminal_without_the_signs_is_no_reason_to_crash(desk: Desk) -> None:
    for flags in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from assay.cli import main; sys.exit(main())",
             *map(str, desk.judge(*flags))],
            cwd=desk.folder,
            env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            timeout=120,
            check=True,
        )  # fmt: skip
        assert done.stdout
    assert json.loads(done.stdout)["verdict"] == "promote"


def test_a_reader_that_goes_away_ends_the_command_quietly(desk: Desk) -> None:
    program = Path(sys.executable).with_name("assay")
    command = " ".join(map(str, desk.judge("--json")))
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{program} {command} | true"],
        cwd=desk.folder, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


def test_an_evidence_index_without_texts_judges_the_same(assay: Assay, desk: Desk) -> None:
    from assay.golden_set import index_row, load_golden

    golden = load_golden(desk.folder / "golden.jsonl", ("joy", "anger", "fear"))
    first = assay(*desk.judge("--json"))
    desk.write("golden.jsonl", map(index_row, golden.cases))
    assert SECRET.encode() not in (desk.folder / "golden.jsonl").read_bytes()
    assert assay(*desk.judge("--json")).out == first.out


def test_an_answer_that_never_came_is_told_from_an_invalid_one(assay: Assay, desk: Desk) -> None:
    rows = desk.answers(seed=1)
    lost = answer(rows[0]["case_id"], None, status="error", raw=None)
    desk.write("candidate.jsonl", [lost, *rows[1:]])
    done = assay(*desk.judge("--json"))
    assert done.code == 12
    assert "1 of 300 questions ended in an error" in done.reason
    desk.write("policy.yaml", POLICY.replace("replicates", "max_unanswered_rate: 0.01\nreplicates"))
    tolerated = assay(*desk.judge("--json"))
    assert tolerated.code == 0
    assert tolerated.document["metrics"]["candidate"]["validity/invalid_rate"] == 0
