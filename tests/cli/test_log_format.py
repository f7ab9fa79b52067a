"""Logs as JSON: every line is one object, and names the run and, of trouble, the requests."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from assay.adapters.log_json import configure
from tests.cli.conftest import Assay
from tests.cli.two_servers import endpoints, gate, knows
from tests.cli_desk import SECRET, Desk
from tests.openai_server import Fail, OpenAIServer, Reply

Serve = Callable[..., OpenAIServer]


@pytest.fixture(autouse=True)
def text_afterwards(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_CONFIGURE_LOGGING", "false")
    yield
    configure("text")


def lines(text: str) -> list[dict[str, Any]]:
    """Every line as the object that it must be."""
    found = [json.loads(line) for line in text.splitlines()]
    for line in found:
        assert {"time", "level", "logger", "message"} <= set(line), line
        assert line["time"].endswith("Z")
    return found


def test_a_gate_in_json_says_each_step_with_its_run_and_stdout_stays_the_verdict(
    assay: Assay, project: Desk, serve: Serve
) -> None:
    right = serve(knows(project))
    done = assay("--log-format", "json", *gate(*endpoints(right, right), "--json"))
    run_id = done.document["context"]["run_id"]
    said = lines(done.err)
    assert all(line["run_id"] == run_id for line in said if "event" in line)
    ended = {line["step"]: line for line in said if line.get("event") == "step_ended"}
    assert {"ask candidate", "ask production", "judge"} <= set(ended)
    assert all(line["duration_s"] >= 0 and line["attempts"] >= 1 for line in ended.values())
    last = [line for line in said if line.get("event") == "gate_ended"]
    assert [line["verdict"] for line in last] == [done.document["verdict"]]
    assert SECRET not in done.err


def test_requests_without_an_answer_are_named(
    assay: Assay, project: Desk, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_LOG_FORMAT", "json")
    monkeypatch.setenv("ASSAY_LOG_LEVEL", "debug")
    right, asked = knows(project), []

    def script(body: dict[str, Any]) -> Reply:
        asked.append(body)
        return right(body) if len(asked) % 20 else Fail(how="garbage")

    done = assay(*gate(*endpoints(serve(script), serve(right)), "--json"))
    run_id = done.document["context"]["run_id"]
    said = lines(done.err)
    failed = [line for line in said if "request_id" in line]
    assert failed
    assert all(line["request_id"].startswith(run_id) for line in failed)
    assert all(line["run_id"] == run_id and line["step"] for line in failed)
    told = {name for line in said for name in line.get("request_ids", ())}
    assert told
    assert told <= {line["request_id"] for line in failed}
    assert SECRET not in done.err


def test_an_error_is_one_line_of_the_level_error(
    assay: Assay, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_LOG_FORMAT", "json")
    done = assay("gate", "emotion", "1.1.0", "--policy", "missing.yaml")
    (line,) = lines(done.err)
    assert (line["level"], line["exit_code"]) == ("error", done.code)
    assert "missing.yaml" in line["message"]


def test_text_is_the_default_and_a_wrong_format_or_level_is_a_usage_error(
    assay: Assay, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = assay("gate", "emotion", "1.1.0", "--policy", "missing.yaml")
    assert done.err.startswith("assay: ")
    assert assay("--log-format", "xml", "doctor").code == 2
    monkeypatch.setenv("ASSAY_LOG_LEVEL", "loud")
    wrong = assay("--log-format", "json", "doctor")
    assert wrong.code == 2
    assert "ASSAY_LOG_LEVEL" in wrong.err


def test_what_libraries_print_becomes_lines_of_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    from assay.cli.output import results_only

    configure("json")
    with results_only():
        print("a library\nsays two things")
    assert [line["message"] for line in lines(capfd.readouterr().err)] == [
        "a library",
        "says two things",
    ]
