"""The deployments on a real Prefect server: what its API tells a form, and who is called when."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import kubernetes_validate
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.workers.base import BaseJobConfiguration
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from assay.records import VerdictKind
from flows import gate_release as gate_release_flow
from flows import release_events
from tests.chaos.world import PrefectServer, free_port, prefect_server
from tests.flows.test_deployments import ended
from tests.gate_rig import MODEL, make_rig

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/prefect"
DEPLOYMENTS = {
    one["name"]: one for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
}

pytestmark = [pytest.mark.prefect_server, pytest.mark.slow, pytest.mark.timeout(300)]


class Prefect:
    """A real server that has the deployments, as its command line and its API see it."""

    def __init__(self, server: PrefectServer, home: Path) -> None:
        self.server, self.url = server, server.environment["PREFECT_API_URL"]
        self.environment = os.environ | server.environment
        self.environment |= {"ASSAY_HOME": str(home), "ASSAY_TRUST": str(home / "trust.yaml")}

    def run(self, *arguments: str) -> str:
        """Runs `prefect …`; returns what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def post(self, path: str, **body: Any) -> Any:
        """Asks the API."""
        answer = httpx.post(f"{self.url}/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def flow_runs(self, deployment: str) -> list[Any]:
        """Returns the runs of a deployment that nobody scheduled by the clock."""
        name = {"name": {"any_": [deployment]}}
        found = self.post("flow_runs/filter", deployments=name)
        return [run for run in found if not run["auto_scheduled"]]


class Inbox:
    """A webhook of this test's: what an automation sends arrives here."""

    def __init__(self) -> None:
        self.received: list[dict[str, str]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                received.append(json.loads(self.rfile.read(length)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, word: str) -> dict[str, str]:
        """Returns the message whose subject holds a word."""
        return eventually(lambda: next((m for m in self.received if word in m["subject"]), None))


def eventually(look: Callable[[], Any], timeout_s: float = 45) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    raise AssertionError(f"nothing within {timeout_s} s")


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    folder = tmp_path_factory.mktemp("prefect")
    with prefect_server(folder / "home", free_port()) as server:
        found = Prefect(server, folder / "assay")
        template = ("--base-job-template", str(FOLDER / "process.json"))
        found.run("work-pool", "create", "assay", "--type", "process", *template)
        found.run("deploy", "--all")
        yield found


@pytest.fixture(scope="module")
def deployed(prefect: Prefect) -> dict[str, Any]:
    return {one["name"]: one for one in prefect.post("deployments/filter")}


@pytest.fixture(scope="module")
def inbox(prefect: Prefect, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    """The example automations, sent to a webhook as docs/prefect.md sends them to Slack."""
    found = Inbox()
    block = (
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block\n"
        f"url = 'http://127.0.0.1:{found.server.server_port}/'\n"
        "said = {'subject': '{{subject}}', 'body': '{{body}}'}\n"
        "block = Block(name='test', url=url, method='POST', json_data=said)\n"
        "print(block.save('assay-releases'))"
    )
    made = subprocess.run(
        [sys.executable, "-c", block],
        env=prefect.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    text = (FOLDER / "automations.yaml").read_text()
    path = tmp_path_factory.mktemp("automations") / "automations.yaml"
    path.write_text(text.replace("NOTIFICATION_BLOCK_ID", made.stdout.split()[-1]))
    prefect.run("automation", "create", "--from-file", str(path))
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_all_are_deployed_with_their_tags_limits_and_schedules(deployed: dict[str, Any]) -> None:
    assert set(deployed) == set(DEPLOYMENTS)
    for name, found in deployed.items():
        wanted = DEPLOYMENTS[name]
        assert found["tags"] == wanted["tags"]
        assert found["description"] == wanted["description"]
        assert found["work_pool_name"] == "assay"
        assert found["enforce_parameter_schema"] is True
        assert found["global_concurrency_limit"]["limit"] == 1
        assert found["concurrency_options"]["collision_strategy"] == "ENQUEUE"
        assert found["concurrency_options"]["grace_period_seconds"] == 900
        schedules = {
            (one["slug"], one["schedule"]["cron"], one["schedule"]["timezone"], one["active"])
            for one in found["schedules"]
        }
        assert schedules == {
            (one["slug"], one["cron"], one["timezone"], one["active"])
            for one in wanted.get("schedules", [])
        }


def test_the_form_that_the_server_holds_explains_every_question(deployed: dict[str, Any]) -> None:
    for name, found in deployed.items():
        for parameter, one in found["parameter_openapi_schema"]["properties"].items():
            assert one["title"] != parameter, name
            assert one["description"], name
    form = deployed["gate-release"]["parameter_openapi_schema"]
    assert form["properties"]["profile"]["enum"] == ["cpu", "gpu"]
    assert form["required"] == ["model", "version"]


def test_the_server_refuses_what_is_not_among_the_choices(
    prefect: Prefect, deployed: dict[str, Any]
) -> None:
    asked = {"model": MODEL, "version": "1.0.0", "profile": "tpu"}
    identity = deployed["gate-release"]["id"]
    with pytest.raises(httpx.HTTPStatusError) as refused:
        prefect.post(f"deployments/{identity}/create_flow_run", parameters=asked)
    assert refused.value.response.status_code == 409
    assert "'tpu' is not one of ['cpu', 'gpu']" in refused.value.response.text


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
async def test_the_server_takes_the_other_pools_templates(prefect: Prefect, kind: str) -> None:
    path = FOLDER / f"{kind}.json"
    prefect.run("work-pool", "create", kind, "--type", kind, "--base-job-template", str(path))
    with temporary_settings({PREFECT_API_URL: prefect.url}):
        async with get_client() as client:
            pool = await client.read_work_pool(kind)
            made = await BaseJobConfiguration.from_template_and_values(
                pool.base_job_template, {"env": {"ASSAY_STORE": "s3://releases"}}, client=client
            )
    assert made.env["ASSAY_STORE"] == "s3://releases"
    assert made.env["ASSAY_HOME"] == "/var/lib/assay", "a deployment adds to the pool's variables"


async def test_a_worker_makes_a_job_of_the_template_that_kubernetes_takes(prefect: Prefect) -> None:
    template = json.loads((FOLDER / "kubernetes.json").read_text())
    values = {"env": {"ASSAY_STORE": "s3://releases"}, "namespace": "gates"}
    with temporary_settings({PREFECT_API_URL: prefect.url}):
        async with get_client() as client:
            made = await KubernetesWorkerJobConfiguration.from_template_and_values(
                template, values, client=client
            )
            made.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="gate"))
    kubernetes_validate.validate(made.job_manifest, "1.33", strict=True)
    (container,) = made.job_manifest["spec"]["template"]["spec"]["containers"]
    assert {"name": "ASSAY_STORE", "value": "s3://releases"} in container["env"]
    assert container["args"] == ["prefect", "flow-run", "execute"]


def test_a_blocked_gate_shows_its_verdict_and_calls_somebody(
    prefect: Prefect, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(tmp_path)
    rig.gate("1.0.0")
    asked = rig.request("1.2.0")
    monkeypatch.setattr(gate_release_flow, "wire", lambda *_: rig.ports())
    monkeypatch.setattr(gate_release_flow, "from_environment", lambda: rig.settings)
    files = {name: str(getattr(asked, name)) for name in ("task", "policy", "serving")}
    with temporary_settings({PREFECT_API_URL: prefect.url}):
        state = gate_release_flow.gate_release(
            model=MODEL, version="1.2.0", **files, return_state=True
        )
        EventsWorker.instance().wait_until_empty()
    assert (state.type.value, state.name) == ("FAILED", "Block"), state.message
    shown = {one["key"]: one for one in prefect.post("artifacts/latest/filter")}
    assert shown["verdict"]["description"] == state.message
    assert "fear" in shown["verdict"]["data"]
    assert shown["gate-progress"]["type"] == "progress"
    assert float(shown["gate-progress"]["data"]) > 50
    told = inbox.wait_for("block")
    assert told["subject"] == "emotion 1.2.0: block"
    assert str(state.message) in told["body"]
    assert "assay explain" in told["body"]


def test_an_inconclusive_gate_asks_people_once_that_is_switched_on(
    prefect: Prefect, tmp_path: Path
) -> None:
    rig = make_rig(tmp_path)
    rig.gate("1.0.0")
    result = ended(rig.gate("1.2.0"), VerdictKind.INCONCLUSIVE)

    def announce() -> None:
        with temporary_settings({PREFECT_API_URL: prefect.url}):
            release_events.announce(result)
            EventsWorker.instance().wait_until_empty()

    announce()
    time.sleep(3)
    assert prefect.flow_runs("export-review") == [], "it is off until somebody wants it"
    prefect.run("automation", "resume", "export-review-when-inconclusive")
    announce()
    (run,) = eventually(lambda: prefect.flow_runs("export-review"))
    assert run["parameters"]["evidence"] == str(result.evidence_dir)


def test_a_gate_that_breaks_on_its_worker_calls_somebody_too(
    prefect: Prefect, inbox: Inbox
) -> None:
    prefect.run("deployment", "run", "gate-release", "-p", "model=emotion", "-p", "version=none")
    prefect.run("worker", "start", "--pool", "assay", "--run-once")
    told = inbox.wait_for("without a verdict")
    assert told["subject"] == "gate emotion none ended without a verdict (ConfigError)"
    assert "trust.yaml: no such file" in told["body"], "the error says what is wrong and mends it"
