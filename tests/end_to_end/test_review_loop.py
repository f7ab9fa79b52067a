"""From production's requests to people's answers: a real Label Studio in between.

What `assay review export` pushes is labelled by three people through Label Studio's own pages'
API, exported by it, and read by `assay golden ingest`.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from assay.adapters.labelling_label_studio import TOKEN
from tests.cli.conftest import Assay, Outcome
from tests.cli.conftest import assay as assay_fixture
from tests.cli_desk import Desk, make_desk
from tests.label_studio_rig import LabelStudioServer, Person
from tests.review_rig import LABELS, words

assay = assay_fixture
pytestmark = [
    pytest.mark.slow,
    pytest.mark.label_studio,
    pytest.mark.timeout(900),  # whoever is first installs the server
]

PEOPLE = ("ada", "bob", "cho")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label_studio: LabelStudioServer) -> Desk:
    """A project whose review policy names the server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(TOKEN, label_studio.token)
    desk = make_desk(tmp_path)
    desk.write(
        "review.yaml",
        "schema_version: 1\nbudget: 24\nrandom_share: 0.25\nhoneypot_share: 0.25\n"
        f"label_studio: {{url: '{label_studio.url}', project: {tmp_path.name}}}\n",
    )
    desk.write("relabel.yaml", "schema_version: 1\nannotators: {max_share: 0.6}\n")
    desk.write("traffic.jsonl", [request(n) for n in range(40)])
    desk.write("votes.jsonl", [request(n, signal="thumbs_down") for n in range(40, 80)])
    return desk


def request(number: int, **changes: Any) -> dict[str, Any]:
    text = f"{words(number)} mai{number}@example.org"
    row = {"request_id": f"r{number}", "text": text, "label": LABELS[number % 3], "lang": "en"}
    return row | {"time": "2026-11-23T10:00:00Z"} | changes


def export(assay: Assay) -> Outcome:
    files = ("--golden", "golden.jsonl", "--traffic", "traffic.jsonl", "--feedback", "votes.jsonl")
    return assay("review", "export", *files, "--json")


Meant = dict[str, dict[str, Any]]
"""What the names of an export stand for: only the exporter knows."""


def meanings(folder: Path) -> Meant:
    rows = map(json.loads, (folder / "identities.jsonl").read_text().splitlines())
    return {row["name"]: row for row in rows}


def truth(task: dict[str, Any], known: dict[str, str], meant: Meant) -> str:
    """What people say: a honeypot's own label; of anything else that it is fear."""
    return known.get(meant[task["data"]["id"]]["id"], "fear")


def label_all(
    people: list[Person], tasks: list[dict[str, Any]], known: dict[str, str], meant: Meant
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Three people answer every task: returns one that two left open, and one they disputed."""
    doubtful = [t for t in tasks if meant[t["data"]["id"]]["selection"] == "thumbs_down"]
    skipped, disputed = doubtful[:2]
    for task in tasks:
        for person, other in zip(people, LABELS, strict=True):
            if task is skipped and person is people[0]:
                person.annotate(task, None, skip=True)
            elif task is skipped and person is people[1]:
                person.annotate(task, None)
            elif task is disputed:
                person.annotate(task, other)
            else:
                person.annotate(task, truth(task, known, meant))
    people[2].annotate(disputed, "joy")  # changed their mind: now two of three say joy
    return skipped, disputed


def test_what_people_say_in_label_studio_comes_back_as_golden_cases(
    assay: Assay, desk: Desk, label_studio: LabelStudioServer
) -> None:
    exported = export(assay)
    assert exported.code == 0, exported.err
    assert exported.document["manifest"]["selected"] == {
        "honeypot": 6,
        "random": 6,
        "thumbs_down": 12,
    }
    folder = Path(exported.document["folder"])
    project = json.loads((folder / "pushed.json").read_text())["project"]
    tasks = label_studio.tasks(project)
    written = json.loads((folder / "label_studio.json").read_text())
    assert [task["data"] for task in tasks] == [task["data"] for task in written]
    assert [len(task["predictions"]) for task in tasks] == [
        len(task.get("predictions", ())) for task in written
    ]
    assert "@example.org" not in json.dumps([task["data"] for task in tasks])

    known = {case["id"]: case["label"] for case in desk.cases}
    meant = meanings(folder)
    assert not [name for name in known if name in json.dumps(tasks)]
    people = [label_studio.invite(f"{name}-of-{desk.folder.name}") for name in PEOPLE]
    skipped, disputed = label_all(people, tasks, known, meant)
    desk.folder.joinpath("export.json").write_bytes(label_studio.export(project))

    ingested = assay(
        *("golden", "ingest", "export.json", "--golden", "golden.jsonl", "--out", "proposal"),
        *("--version", "1.1.0", "--json"),
    )
    assert ingested.code in (0, 10), ingested.err
    summary = json.loads((desk.folder / "proposal" / "summary.json").read_text())
    assert summary["export"]["rows"] == 24
    cases = [json.loads(line) for line in (desk.folder / "proposal/golden.jsonl").open()]
    added = {case["id"]: case for case in cases if case["id"] not in known}
    asked = {row["id"]: row for row in meant.values() if not row["honeypot"]}
    assert added.keys() == asked.keys() - {meant[skipped["data"]["id"]]["id"]}
    said = {name: case["label"] for name, case in added.items()}
    assert said.pop(meant[disputed["data"]["id"]]["id"]) == "joy"
    assert set(said.values()) == {"fear"}
    assert Counter(case["stratum"] for case in added.values()) == {"core": 6, "hitl": 11}
    for name, case in added.items():
        assert (case["stratum"] == "core") == (asked[name]["selection"] == "random")
        assert case["text"].endswith("[EMAIL]")
    assert [one["honeypots"] for one in summary["annotators"]] == [6, 6, 6]
    assert {one["honeypot_accuracy"] for one in summary["annotators"]} == {1.0}
    # 16 texts of three fears, and one of joy, joy and anger: N = 51, Σ n_c² = 48² + 2² + 1².
    assert summary["agreement"]["alpha"] == pytest.approx(1 - 50 * 2 / (51**2 - 2309))
    for person in PEOPLE:
        assert person not in (desk.folder / "proposal" / "answers.jsonl").read_text()


def test_a_push_again_adds_what_is_missing_and_nothing_twice(
    assay: Assay, desk: Desk, label_studio: LabelStudioServer
) -> None:
    folder = export(assay).document["folder"]
    project = json.loads((Path(folder) / "pushed.json").read_text())["project"]
    again = assay("review", "push", folder, "--json").document
    assert (again["project"], again["added"], again["present"]) == (project, 0, 24)
    lost = label_studio.tasks(project)[3]
    assert label_studio.owner.delete(f"/api/tasks/{lost['id']}/").status_code == 204
    assert assay("review", "push", folder, "--json").document["added"] == 1
    found = [task["data"]["text"] for task in label_studio.tasks(project)]
    assert len(found) == len(set(found)) == 24


def test_a_project_that_asks_something_else_is_not_written_to(
    assay: Assay, desk: Desk, label_studio: LabelStudioServer
) -> None:
    other = '<View><Text name="text" value="$text"/><Choices name="emotion" toName="text">'
    other += '<Choice value="joy"/><Choice value="hope"/></Choices></View>'
    made = label_studio.owner.post(
        "/api/projects/", json={"title": desk.folder.name, "label_config": other}
    ).json()
    outcome = export(assay)
    assert outcome.code == 2
    assert "asks 'emotion' for 'hope', 'joy'; expected 'anger', 'fear', 'joy'" in outcome.error
    assert label_studio.tasks(made["id"]) == []


def test_a_token_that_the_server_refuses_is_not_quoted(
    assay: Assay, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, "0123456789-of-somebody-else")
    outcome = export(assay)
    assert outcome.code == 2
    assert f"refuses the token of {TOKEN} (HTTP 401)" in outcome.error
    assert "somebody-else" not in outcome.out + outcome.err
