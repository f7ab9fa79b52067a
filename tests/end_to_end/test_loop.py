"""The whole loop: what a gate lacks is labelled by people, published, and decides the next gate.

Label Studio, Git, DVC and its remote are real, and so is every step of the product; the engines are
tables (`gate_rig`), so that what the models say, and with it every verdict, is certain.
"""

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from assay.adapters.golden_dvc import DvcGoldenSource
from assay.adapters.labelling_label_studio import TOKEN
from assay.digests import text_sha256
from assay.records import FindingStatus, GoldenCase, VerdictKind
from flows.conclude import GateResult
from flows.conduct import conduct
from flows.rescoring import Rescoring
from flows.steps import PlainSteps
from tests.artifact_factory import make_keys
from tests.cli.conftest import Assay
from tests.cli.conftest import assay as assay_fixture
from tests.flows.golden_repo import IDENTITY, Desk, make_repository, run
from tests.gate_rig import LABELS, MODEL, POLICY, TASK, Rig, make_rig, mostly_right
from tests.label_studio_rig import LabelStudioServer
from tests.review_rig import words

assay = assay_fixture
pytestmark = [
    pytest.mark.slow,
    pytest.mark.label_studio,
    pytest.mark.timeout(900),  # whoever is first installs the server
]

SUPPORT = {"joy": 80, "anger": 80, "fear": 34}
ENOUGH = 50
REQUESTS = 160
BUDGET = 60
REVIEW = "schema_version: 1\nbudget: {budget}\nrandom_share: 0.5\nhoneypot_share: 0.1\n"


def a_case(name: str, label: str, **changes: Any) -> GoldenCase:
    """A text of its own, and what it truly is."""
    text = words(name)
    settled: dict[str, Any] = {
        "id": name,
        "text": text,
        "text_sha256": text_sha256(text),
        "label": label,
        "lang": "en",
        "source": "handwritten",
        "stratum": "core",
        "slices": (),
        "added_in": "1.0.0",
    }
    return GoldenCase(**(settled | changes))


GOLDEN = tuple(
    a_case(f"{label}-{number:03}", label)
    for label, count in SUPPORT.items()
    for number in range(count)
)
TRAFFIC = tuple(
    a_case(f"req-{number:03}", "fear" if number % 4 else LABELS[number // 4 % 2])
    for number in range(REQUESTS)
)
"""What production was asked, by what it truly is: three in four are fears."""
TRUTH = {case.id: case.label for case in (*GOLDEN, *TRAFFIC)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A machine that gates, and the repository of the golden set's owner."""

    rig: Rig
    desk: Desk
    folder: Path

    def gate(
        self, version: str, source: DvcGoldenSource, *, needs: int, **named: Any
    ) -> GateResult:
        """Gates a version by a policy under which a class needs so many cases."""
        self.rig.policy = POLICY.replace("margin: 0.05", f"minimum_support: {needs}, margin: 0.05")
        return conduct(
            self.rig.request(version, **named),
            settings=self.rig.settings,
            ports=replace(self.rig.ports(), golden=source),
            steps=PlainSteps(self.rig.said.append, wait_s=0.001),
            progress=self.rig.said.append,
        )

    def rescoring(self) -> Rescoring:
        """Asks production a new golden version on this machine."""
        return Rescoring(
            request=self.rig.request("0"),
            settings=self.rig.settings,
            ports=replace(self.rig.ports(), golden=self.desk.source),
            steps=PlainSteps(self.rig.said.append, wait_s=0.001),
            progress=self.rig.said.append,
        )


@pytest.fixture
def company(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label_studio: LabelStudioServer
) -> Company:
    """Version 1.0.0 in production, a golden set with few fears, and a sample of its traffic."""
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "gate").mkdir()
    rig = make_rig(tmp_path / "gate")
    rig.cases = (*GOLDEN, *TRAFFIC)
    root = tmp_path / "owner" / "repository"
    make_repository(root, "../remote", task=TASK, held=GOLDEN)
    make_keys(root.parent / "keys")
    monkeypatch.chdir(root)
    monkeypatch.setenv("ASSAY_HOME", str(rig.settings.home))
    monkeypatch.setenv(TOKEN, label_studio.token)
    server = f"label_studio: {{url: '{label_studio.url}', project: {tmp_path.name}}}\n"
    (tmp_path / "review.yaml").write_text(REVIEW.format(budget=BUDGET) + server)
    (tmp_path / "relabel.yaml").write_text("schema_version: 1\n")
    (tmp_path / "traffic.jsonl").write_text("".join(map(line_of, TRAFFIC)))
    return Company(rig=rig, desk=Desk(root=root), folder=tmp_path)


def line_of(case: GoldenCase) -> str:
    """A request as production logged it, with the label that production gave it."""
    row = {"request_id": case.id, "text": case.text, "label": mostly_right(case), "lang": "en"}
    return json.dumps(row | {"time": "2026-11-23T10:00:00Z"}) + "\n"


def labelled(server: LabelStudioServer, export: Path, name: str) -> tuple[bytes, list[Any]]:
    """Three people say what every text is.

    Returns:
        What the server exports; and its tasks, each with what only the exporter knows of it.
    """
    project = json.loads((export / "pushed.json").read_text())["project"]
    rows = map(json.loads, (export / "identities.jsonl").read_text().splitlines())
    meant = {row["name"]: row for row in rows}
    tasks = [
        task["data"] | meant[task["data"]["id"]] | {"task": task} for task in server.tasks(project)
    ]
    for person in [server.invite(f"{who}-of-{name}") for who in ("ada", "bob", "cho")]:
        for data in tasks:
            person.annotate(data["task"], TRUTH[data["id"]])
    return server.export(project), tasks


def lacking(result: GateResult) -> dict[str | None, int]:
    """Cases of a class that a verdict's undecided findings want."""
    needed: dict[str | None, int] = {}
    for one in result.verdict.findings:
        if one.gating and one.status is FindingStatus.UNDECIDED:
            needed[one.label] = max(needed.get(one.label, 0), one.needed or 0)
    return needed


def test_what_a_gate_lacks_is_labelled_published_and_settles_the_next_gate(
    assay: Assay, company: Company, label_studio: LabelStudioServer
) -> None:
    rig, desk, folder = company.rig, company.desk, company.folder
    company.gate("1.0.0", desk.source, needs=30)
    assert production(rig) == "1.0.0"

    # Fear is undecided for want of cases, and nothing else is.
    first = company.gate("1.1.0", desk.source, needs=ENOUGH)
    assert first.verdict.verdict is VerdictKind.INCONCLUSIVE
    needed = ENOUGH - SUPPORT["fear"]
    assert lacking(first) == {"fear": needed}
    assert production(rig) == "1.0.0"

    # The work order comes first, beside a share at random and honeypots.
    evidence = rig.settings.reports / first.verdict.context.run_id
    exported = assay(
        *("review", "export", evidence, "--traffic", folder / "traffic.jsonl", "--seed", "7"),
        *("--policy", folder / "review.yaml", "--json"),
    )
    assert exported.code == 0, exported.err
    (order,) = exported.document["manifest"]["work_orders"]
    assert (order["label"], order["needed"]) == ("fear", needed)
    selected = exported.document["manifest"]["selected"]
    assert (selected["random"], selected["honeypot"]) == (BUDGET // 2, BUDGET // 10)
    answers, tasks = labelled(label_studio, Path(exported.document["folder"]), folder.name)
    queue = [data for data in tasks if data["selection"] != "honeypot"]
    said = {case.id: mostly_right(case) for case in TRAFFIC}
    assert order["queued"] == selected["work_order"] == order["asked"] > needed
    assert not any("more cases are needed" in n for n in exported.document["manifest"]["notes"])
    for data in queue[: order["queued"]]:
        assert (data["selection"], said[data["id"]]) == ("work_order", "fear")

    # Their answers become a proposal: only what was drawn at random enters the core.
    (folder / "export.json").write_bytes(answers)
    ingested = assay(
        *("golden", "ingest", folder / "export.json", "--policy", folder / "relabel.yaml"),
        *("--out", folder / "proposal", "--json"),
    )
    assert ingested.code == 0, ingested.err
    summary = ingested.document
    assert (summary["version"], summary["agreement"]["alpha"]) == ("1.1.0", 1.0)
    assert {one["honeypot_accuracy"] for one in summary["annotators"]} == {1.0}

    # Published, pushed, and production is scored on it.
    rig.asked.clear()
    desk.rescore = company.rescoring()
    done = desk.publish(proposal=folder / "proposal", base=None, why="the gate lacked fears")
    assert (done.tag, done.digest) == ("golden-v1.1.0", summary["golden_digest"])
    golden = desk.source.load(done.tag, LABELS)
    new = {case.id: case for case in golden.cases if case.added_in == "1.1.0"}
    asked = {data["id"]: data for data in queue if data["id"].startswith("req-")}
    assert new.keys() == asked.keys()
    for name, case in new.items():
        assert case.label == TRUTH[name]
        assert (case.stratum == "core") == (asked[name]["selection"] == "random")
    support = Counter(case.label for case in golden.cases if case.stratum == "core")
    assert support["fear"] >= ENOUGH > SUPPORT["fear"]
    assert f"{MODEL} 1.0.0 was asked all {golden.size} cases" in done.baseline

    # Another machine's clone has it from the remote; the same candidate is promoted on it.
    run(folder, "git", "clone", "-q", str(desk.root), str(desk.root.parent / "clone"))
    rig.asked.clear()
    clone = DvcGoldenSource(desk.root.parent / "clone")
    second = company.gate("1.1.0", clone, needs=ENOUGH, golden=done.tag)
    assert second.verdict.verdict is VerdictKind.PROMOTE
    assert second.not_promoted is None
    assert production(rig) == "1.1.0"
    assert {line.split("/")[0] for line in rig.asked} == {"1.1.0"}


def production(rig: Rig) -> str | None:
    """The version that the alias names."""
    held = rig.registry.production(MODEL)
    return held.version if held else None
