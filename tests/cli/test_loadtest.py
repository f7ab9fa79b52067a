"""`assay loadtest` against a real local server, good and bad: exit codes, reports, Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from assay.adapters.load_files import read_requests
from assay.load.report import LoadReport
from tests.cli.conftest import Assay, Outcome
from tests.cli_desk import SECRET, Desk
from tests.openai_server import Fail, OpenAIServer, Say

Serve = Callable[..., OpenAIServer]
GOOD = Say(words="joy and more", first_token_s=0.005, token_s=0.002)
POLICY = """
schema_version: 1
evaluators: {validity: {max_invalid_rate: 0.05}}
load:
  quick:
    arrivals: {rate_per_s: 150}
    duration_s: 2.5
    warm_up_s: 0.1
    request_timeout_s: 10
    objectives: {ttft_p99_ms: 3000, tokens_per_s: 0.5}
    prompts: {kind: lengths, prompts: 50, words_median: 5}
    generator: {max_lag_p99_ms: 3000, max_cpu_share: 1.0}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose policy makes a load of a second and a half, on a machine that is shared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASSAY_API_KEY", raising=False)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


@pytest.fixture
def load(assay: Assay) -> Callable[..., Outcome]:
    return lambda server, *more: assay(
        "loadtest", "--base-url", server.endpoint.base_url, "--json", *more
    )


Load = Callable[..., Outcome]


def test_objectives_that_are_met_end_with_0_and_a_report(load: Load, serve: Serve) -> None:
    server = serve(lambda body: GOOD)
    outcome = load(server, "--out", "result")
    document = outcome.document
    assert outcome.code == 0, document["verdict"]
    Draft202012Validator(LoadReport.model_json_schema()).validate(document)
    assert document == json.loads(Path("result/load_report.json").read_text())
    assert document["model"] == "tiny"
    assert {one["status"] for one in document["verdict"]["objectives"]} == {"passed"}
    requests = list(read_requests(Path("result/requests.jsonl")))
    assert len(requests) == document["summary"]["generator"]["sent"] == len(server.bodies)
    measured = [request for request in requests if not request.warm_up]
    assert len(measured) == document["summary"]["requests"]


def test_people_get_a_table_with_bounds_and_the_generators_own_state(
    assay: Assay, serve: Serve
) -> None:
    server = serve(lambda body: GOOD)
    outcome = assay("loadtest", "--base-url", server.endpoint.base_url)
    assert outcome.code == 0
    for words in ("OBJECTIVES MET", "time to first token", "p99 (bounds)", "goodput", "of one core",
                  "✓ ttft_p99_ms", "late by"):  # fmt: skip
        assert words in outcome.out
    assert "poisson arrivals" in outcome.err


def test_a_slow_server_misses_its_objectives_with_10(
    load: Load, serve: Serve, folder: Path
) -> None:
    (folder / "policy.yaml").write_text(POLICY.replace("3000, tokens", "100, tokens"))
    outcome = load(serve(lambda body: Say(words="joy", first_token_s=0.2)), "--duration", "1")
    assert outcome.code == 10
    [ttft] = [o for o in outcome.document["verdict"]["objectives"] if o["name"] == "ttft_p99_ms"]
    assert ttft["status"] == "failed"
    assert ttft["value"] > 200


def test_too_few_requests_are_said_with_11(load: Load, serve: Serve) -> None:
    outcome = load(serve(lambda body: GOOD), "--rate", "50", "--duration", "1")
    assert outcome.code == 11
    needed = {one["needed"] for one in outcome.document["verdict"]["objectives"]}
    assert 299 in needed


def test_golden_cases_are_asked_as_the_task_asks_them_and_never_shown(
    load: Load, serve: Serve, desk: Desk
) -> None:
    desk.write("policy.yaml", POLICY)
    server = serve(lambda body: Say(words="joy"))
    outcome = load(
        server, "--golden", "golden.jsonl", "--prompts", "golden", "--rate", "50",
        "--duration", "0.5", "--out", "result",
    )  # fmt: skip
    assert outcome.code in (10, 11)
    assert all(SECRET in body["messages"][0]["content"] for body in server.bodies)
    assert server.bodies[0]["structured_outputs"]["choice"] == ["joy", "anger", "fear"]
    written = "".join(path.read_text() for path in Path("result").iterdir())
    assert SECRET not in written + outcome.out + outcome.err


def test_timed_requests_are_kept_as_parquet_too(load: Load, serve: Serve) -> None:
    outcome = load(
        serve(lambda body: GOOD), "--duration", "0.3", "--out", "r", "--samples", "parquet"
    )
    requests = list(read_requests(Path("r/requests.parquet")))
    assert len(requests) == outcome.document["summary"]["generator"]["sent"]
    assert len(requests[0].gaps_ms) == 2
    assert sorted(os.listdir("r")) == ["load_report.json", "requests.parquet"]


def test_a_closed_loop_and_a_seed_are_flags(load: Load, serve: Serve) -> None:
    outcome = load(
        serve(lambda body: GOOD), "--concurrency", "2", "--duration", "0.5", "--seed", "5"
    )
    document = outcome.document
    assert document["profile"]["arrivals"] == {"kind": "closed", "concurrency": 2}
    assert document["profile"]["seed"] == 5
    assert document["summary"]["generator"]["most_in_flight"] == 2


def test_a_trace_is_replayed(load: Load, serve: Serve, folder: Path) -> None:
    (folder / "trace.txt").write_text("10.0\n10.2\n\n10.3\n")
    replay = POLICY.replace(
        "{rate_per_s: 150}", "{kind: replay, trace: trace.txt}"
    ).replace("warm_up_s: 0.1", "warm_up_s: 0")  # fmt: skip
    (folder / "policy.yaml").write_text(replay)
    server = serve(lambda body: GOOD)
    outcome = load(server)
    assert outcome.document["summary"]["requests"] == len(server.bodies) == 3
    (folder / "trace.txt").write_text("10.0\nsoon\n")
    assert "trace.txt:2" in load(server).error


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--rate", "0"], "--rate 0.0: arrivals.poisson.rate_per_s"),
        (["--rate", "-1"], "greater than 0"),
        (["--rate", "1e12"], "100000"),
        (["--rate", "nan"], "rate_per_s"),
        (["--rate", "90000", "--duration", "600000"], "expected 1 to 20000000"),
        (["--duration", "0"], "duration_s"),
        (["--concurrency", "0"], "concurrency"),
        (["--rate", "3", "--concurrency", "3"], "leave the other out"),
        (["--profile", "fast"], "no load profile 'fast'"),
        (["--policy", "nowhere.yaml"], "no such file"),
        (["--prompts", "golden"], "task.yaml"),
    ],
)
def test_a_flag_that_makes_no_load_is_a_usage_error(
    load: Load, serve: Serve, flags: list[str], words: str
) -> None:
    server = serve(lambda body: GOOD)
    outcome = load(server, *flags)
    assert outcome.code == 2
    assert words in outcome.error
    assert server.bodies == []


@pytest.mark.parametrize(
    "address",
    [[], ["--base-url", "ftp://x"], ["--base-url", "http://user:pw@host"], ["--uds", "no.sock"]],
)
def test_an_address_that_is_none_is_a_usage_error(assay: Assay, address: list[str]) -> None:
    outcome = assay("loadtest", *address, "--json")
    assert outcome.code == 2
    assert "pw" not in outcome.error


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        yield int(listener.getsockname()[1])


def test_an_unreachable_server_is_said_at_once_with_12(assay: Assay) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        for more in ([], ["--model", "tiny"]):
            outcome = assay("loadtest", "--base-url", url, "--json", *more)
            assert outcome.code == 12
            assert url in outcome.error
        assert time.monotonic() - began < 10


def test_a_server_that_accepts_and_never_answers_is_a_run_without_a_measurement(
    assay: Assay, silent_port: int, folder: Path
) -> None:
    (folder / "policy.yaml").write_text(POLICY.replace("timeout_s: 10", "timeout_s: 0.5"))
    outcome = assay(
        "loadtest", "--base-url", f"http://127.0.0.1:{silent_port}", "--model", "tiny", "--json",
        "--rate", "40", "--duration", "1",
    )  # fmt: skip
    assert outcome.code == 12
    summary = outcome.document["summary"]
    assert set(summary["errors"]) == {"timeout"}
    assert summary["answered"] == 0
    assert "none of" in outcome.document["verdict"]["invalid"][0]


def every_other(fail: Fail) -> Callable[[Any], Any]:
    count = iter(range(10**9))
    return lambda body: fail if next(count) % 2 else GOOD


@pytest.mark.parametrize(
    ("fail", "kind"),
    [
        (Fail(how="half"), "broken"),
        (Fail(how="bad_event"), "garbage"),
        (Fail(how="error_event"), "broken"),
        (Fail(how="no_done"), "broken"),
        (Fail(how="not_http"), "garbage"),
        (Fail(how="status", status=429, retry_after="9"), "http_429"),
    ],
)
def test_a_server_that_fails_every_other_stream_misses_with_its_errors_by_kind(
    load: Load, serve: Serve, fail: Fail, kind: str
) -> None:
    outcome = load(serve(every_other(fail)), "--rate", "100", "--duration", "1")
    summary = outcome.document["summary"]
    assert outcome.code == 10
    assert list(summary["errors"]) == [kind]
    assert summary["errors"][kind] == pytest.approx(summary["requests"] / 2, abs=2)
    assert summary["times"]["e2e"]["n"] == summary["answered"]
    assert summary["longest_retry_after_s"] == (9.0 if kind == "http_429" else None)


def test_answers_without_usage_leave_the_speed_unknown(load: Load, serve: Serve) -> None:
    outcome = load(serve(lambda body: Say(words="joy and more", counted=False)))
    document = outcome.document
    assert outcome.code == 11
    assert document["summary"]["output_tokens_per_s"] is None
    assert document["summary"]["good"] == 0
    assert any("include_usage" in note for note in document["verdict"]["notes"])


def test_a_server_that_dies_in_the_middle_is_a_miss(load: Load, serve: Serve) -> None:
    servers: list[OpenAIServer] = []

    def script(body: Any) -> Any:
        dead = len(servers[0].bodies) > 150
        return Fail(how="drop") if dead else GOOD

    servers.append(serve(script))
    outcome = load(servers[0])
    assert outcome.code == 10
    assert outcome.document["summary"]["errors"]["connection"] > 100
    assert outcome.document["summary"]["answered"] > 100


def test_a_step_of_the_wall_clock_changes_nothing(
    load: Load, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, real = serve(lambda body: GOOD), time.time
    count = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: real() + (86_400 if next(count) % 2 else -86_400))
    outcome = load(server)
    summary = outcome.document["summary"]
    assert outcome.code == 0, outcome.document["verdict"]
    assert summary["errors"] == {}
    assert 2.2 < summary["measured_s"] < 8
    assert summary["times"]["e2e"]["max_ms"] < 5000


def test_a_folder_with_a_report_is_not_written_over(load: Load, serve: Serve) -> None:
    server = serve(lambda body: GOOD)
    assert load(server, "--duration", "0.2", "--out", "r").code in (0, 11)
    again = load(server, "--duration", "0.2", "--out", "r")
    assert again.code == 2
    assert "holds a report already" in again.error


def test_ctrl_c_keeps_what_was_measured_and_marks_it(serve: Serve, folder: Path) -> None:
    server = serve(lambda body: GOOD)
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("assay")), "loadtest", "--base-url",
            server.endpoint.base_url, "--rate", "100", "--duration", "300", "--out", "r", "--json",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(server.bodies) < 60 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    document = json.loads(out)
    assert process.returncode == 11, err
    assert document["summary"]["generator"]["interrupted"]
    assert document["verdict"]["outcome"] == "too_few"
    assert any("partial results" in note for note in document["verdict"]["notes"])
    assert json.loads((folder / "r/load_report.json").read_text()) == document
    requests = list(read_requests(folder / "r/requests.jsonl"))
    assert len([r for r in requests if not r.warm_up]) == document["summary"]["requests"] > 20
    assert "never retrieved" not in err
    assert "Traceback" not in err
