"""Releases on real vLLM, a real Docker engine, real MLflow and a real Prefect server."""

import json
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from examples.emotion import demo
from flows.rejudge import verify_evidence
from tests.end_to_end.machine import ASSAY, POLICY, ROOT, Finished, Machine
from tests.end_to_end.prefect_rig import PREFECT, prefect_server
from tests.telemetry_rig import Receiver, attributes

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(1500)]


def docker_image_is_here() -> bool:
    if shutil.which("docker") is None:
        return False
    found = subprocess.run(
        ["docker", "image", "inspect", "assay/vllm-cpu:0.32.0"], capture_output=True, check=False
    )
    return found.returncode == 0


needs_docker = pytest.mark.skipif(
    not docker_image_is_here(), reason="no Docker engine with the image: serving/build_image.sh"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """The gate of 1.2.0 in a container, and what it told those who watched it."""

    result: Finished
    before: str | None
    spans: list[Span]
    metrics: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log."""
        return [json.loads(line) for line in self.result.said.splitlines()]


@pytest.fixture(scope="module")
def blocked(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Blocked:
    before = machine.production()
    exposed = tmp_path_factory.mktemp("textfile") / "assay.prom"
    with Receiver() as collector:
        result = machine.gate(
            *("1.2.0", "docker", 1200),
            ASSAY_LOG_FORMAT="json",
            ASSAY_METRICS_TEXTFILE=str(exposed),
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        )
    metrics = exposed.read_text()
    return Blocked(result=result, before=before, spans=collector.spans(), metrics=metrics)


@pytest.mark.docker
@needs_docker
def test_a_broken_class_is_blocked_in_the_hardened_container(
    machine: Machine, blocked: Blocked
) -> None:
    result = blocked.result
    assert result.code == 10, result.said
    failed = [one for one in result.document["findings"] if one["status"] == "failed"]
    assert "fear" in {one["class"] for one in failed}
    assert "fear" in result.document["summary"]
    assert result.document["context"]["engine"]["backend"] == "docker"
    assert result.document["context"]["engine"]["image"].startswith("sha256:")
    assert machine.production() == blocked.before
    left = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--filter", "label=assay.run"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert left.stdout == ""


@pytest.mark.docker
@needs_docker
def test_a_real_gate_is_told_alike_by_its_log_its_trace_and_its_metrics(blocked: Blocked) -> None:
    (gate,) = (span for span in blocked.spans if span.name == "gate")
    told = attributes(gate.attributes)
    run_id = blocked.result.document["context"]["run_id"]
    assert (told["assay.run_id"], told["assay.verdict"]) == (run_id, "block")
    steps = [span for span in blocked.spans if span.parent_span_id == gate.span_id]
    ended = [line for line in blocked.lines if line.get("event") == "step_ended"]
    assert {line["run_id"] for line in ended} == {run_id}
    in_log = Counter((line["step"], line["outcome"]) for line in ended)
    in_trace = (attributes(span.attributes) for span in steps)
    assert in_log == Counter(
        (one["assay.step.name"], one["assay.step.outcome"]) for one in in_trace
    )
    waiting = [span for span in steps if span.name == "wait for candidate's engine"]
    assert waiting[0].end_time_unix_nano - waiting[0].start_time_unix_nano > 1e9  # a real start
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(blocked.metrics)
        for sample in family.samples
    }
    assert samples["assay_gate_runs_total", "block", demo.MODEL] == 1
    whole_s = (gate.end_time_unix_nano - gate.start_time_unix_nano) / 1e9
    measured_s = samples["assay_gate_duration_seconds_sum", "block", demo.MODEL]
    assert measured_s == pytest.approx(whole_s, abs=0.1)


def test_a_changed_byte_is_refused_before_anything_of_it_runs(machine: Machine) -> None:
    result = machine.gate("1.3.0", "process")
    assert result.code == 10, result.said
    assert "model.safetensors" in result.document["summary"]
    assert "launch" not in result.said
    folder = machine.reports()[-1]
    assert verify_evidence(folder).verdict.value == "block"


def test_the_first_release_is_answered_from_the_record_and_proves_itself(machine: Machine) -> None:
    result = machine.gate("1.0.0", "process")
    assert result.code == 0, result.said
    assert "launch" not in result.said
    first = machine.reports()[0]
    assert verify_evidence(first).verdict.value == "promote"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_killed_gate_leaves_no_engine_and_no_copy(
    machine: Machine, number: int, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"  # another question than the other tests': never recorded
    text = (ROOT / POLICY).read_text().replace("alpha: 0.05", "alpha: 0.049")
    policy.write_text(text)
    gate = subprocess.Popen(
        machine.command("1.2.0", "process", policy),
        cwd=ROOT,
        env=machine.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert gate.stderr is not None
    for line in gate.stderr:
        if "wait for candidate's engine" in line:
            break
    engines = psutil.Process(gate.pid).children(recursive=True)
    assert engines
    time.sleep(5)
    before = machine.production()
    gate.send_signal(number)
    code = gate.wait(timeout=60)
    assert code == (130 if number == signal.SIGTERM else -number)
    _, alive = psutil.wait_procs(engines, timeout=60)
    assert alive == []
    subprocess.run([ASSAY, "reap"], cwd=ROOT, env=machine.environment, check=True, timeout=120)
    assert list(machine.settings.staging.glob("*")) == []
    assert machine.production() == before


@pytest.mark.prefect_server
def test_the_deployment_promotes_a_better_version_by_its_bare_name_and_it_is_taken_back(
    machine: Machine, tmp_path: Path
) -> None:
    """Taken back it leaves the machine as the other tests, before or after it, expect it."""
    assert machine.production() == "1.0.0"
    with prefect_server(machine.environment, tmp_path) as environment:

        def prefect(*arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [PREFECT, "--no-prompt", *arguments],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )

        assert prefect("work-pool", "create", "assay", "--type", "process").returncode == 0
        deployed = prefect("deploy", "--all")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        worker = subprocess.Popen(
            [PREFECT, "worker", "start", "--pool", "assay", "--type", "process"],
            cwd=ROOT,
            env=environment,
            stdout=(tmp_path / "worker.log").open("w"),
            stderr=subprocess.STDOUT,
        )
        try:
            run = prefect(
                *("deployment", "run", "gate-release", "--watch"),
                *("-p", "model=emotion-demo", "-p", "version=1.1.0", "-p", "backend=process"),
                *("-p", "policy=examples/emotion/policy.yaml"),
                timeout_s=1200,
            )
            assert run.returncode == 0, (tmp_path / "worker.log").read_text() + run.stdout
        finally:
            worker.terminate()
            worker.wait(timeout=60)
        artifacts = prefect("artifact", "ls").stdout
        assert "verdict" in artifacts
    assert machine.production() == "1.1.0"
    subprocess.run(
        [ASSAY, "rollback", demo.MODEL, "--reason", "the other tests start from 1.0.0"],
        cwd=ROOT,
        env=machine.environment,
        check=True,
        timeout=120,
    )
    assert machine.production() == "1.0.0"
