"""`assay review`: files in, a folder for people out, never the same text twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from assay import evidence
from tests.cli.conftest import Assay
from tests.cli_desk import SECRET, Desk, Row
from tests.review_rig import LABELS, words

POLICY = "schema_version: 1\nbudget: 20\nhoneypot_share: 0.2\n"


def production(number: int, **changes: Any) -> Row:
    row = {
        "request_id": f"req-{number:03}",
        "text": f"{SECRET} {words(number)}",
        "label": LABELS[number % 3],
        "time": "2026-11-23T10:00:00Z",
        "lang": "en",
    }
    return row | changes


@pytest.fixture
def reviewed(project: Desk) -> Desk:
    """A project with production's traffic and feedback."""
    project.write("review.yaml", POLICY)
    project.write("traffic.jsonl", [production(n) for n in range(60)])
    votes = [production(n, signal="thumbs_down") for n in range(60, 120)]
    project.write("votes.jsonl", votes)
    return project


FILES = ("--golden", "golden.jsonl", "--traffic", "traffic.jsonl", "--feedback", "votes.jsonl")


def rows(folder: str, name: str) -> list[Row]:
    return [json.loads(line) for line in (Path(folder) / name).read_text().splitlines()]


def test_an_export_holds_tasks_rows_a_configuration_and_a_manifest(
    assay: Assay, reviewed: Desk
) -> None:
    outcome = assay("review", "export", *FILES, "--json")
    assert outcome.code == 0
    folder, manifest = outcome.document["folder"], outcome.document["manifest"]
    assert manifest["selected"] == {"honeypot": 4, "random": 4, "thumbs_down": 12}
    assert manifest == json.loads((Path(folder) / "manifest.json").read_text())
    tasks = json.loads((Path(folder) / "label_studio.json").read_text())
    flat = rows(folder, "review.jsonl")
    assert [task["data"]["text"] for task in tasks] == [row["text"] for row in flat]
    assert len(tasks) == 20
    assert '<Choice value="fear"' in (Path(folder) / "label_config.xml").read_text()
    assert SECRET not in outcome.out + outcome.err
    assert SECRET not in (Path(folder) / "manifest.json").read_text()


def test_the_next_export_asks_about_other_texts_until_none_is_left(
    assay: Assay, reviewed: Desk
) -> None:
    seen: list[str] = []
    for _ in range(9):
        outcome = assay("review", "export", *FILES, "--budget", "60", "--json")
        assert outcome.code == 0
        if outcome.document["folder"] is None:
            break
        seen += [row["id"] for row in rows(outcome.document["folder"], "asked.jsonl")]
    assert outcome.document["folder"] is None
    assert sorted(seen) == [f"req-{number:03}" for number in range(120)]


def test_the_same_inputs_and_memory_give_the_same_bytes(assay: Assay, reviewed: Desk) -> None:
    found = [assay("review", "export", *FILES, "--out", out, "--json") for out in ("a", "b")]
    first, second = (Path(outcome.document["folder"]) for outcome in found)
    assert first.name == second.name
    for name in (
        "label_studio.json",
        "review.jsonl",
        "asked.jsonl",
        "label_config.xml",
        "identities.jsonl",
    ):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_without_traffic_the_export_says_that_core_gets_nothing(
    assay: Assay, reviewed: Desk
) -> None:
    outcome = assay("review", "export", *FILES[:2], *FILES[4:], "--json")
    assert "random" not in outcome.document["manifest"]["selected"]
    assert "nothing was drawn at random" in outcome.document["manifest"]["notes"][0]


def test_lines_that_are_wrong_are_reported_beside_the_export(assay: Assay, reviewed: Desk) -> None:
    votes = [
        production(200, signal="thumbs_down"),
        production(201, signal="like"),
        {"text": SECRET},
    ]
    reviewed.write("votes.jsonl", votes)
    outcome = assay("review", "export", *FILES, "--json")
    assert outcome.document["manifest"]["rejected"] == 2
    report = rows(outcome.document["folder"], "rejected.jsonl")
    assert [row["where"] for row in report] == ["votes.jsonl:2", "votes.jsonl:3"]
    assert SECRET not in json.dumps(report)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to choose from"),
        (("--traffic", "none.jsonl"), "none.jsonl: no such file"),
        (("--traffic", "traffic.jsonl", "--budget", "0"), "--budget 0: expected 1 to 100000"),
        (("--traffic", "traffic.jsonl", "--seed", "-1"), "--seed -1"),
        (("--traffic", "traffic.jsonl", "--policy", "none.yaml"), "none.yaml: no such file"),
        (("nowhere", "--traffic", "traffic.jsonl"), "SHA256SUMS"),
    ],
)
def test_a_request_that_cannot_be_done_is_said(
    assay: Assay, reviewed: Desk, arguments: tuple[str, ...], words: str
) -> None:
    outcome = assay("review", "export", "--golden", "golden.jsonl", *arguments, "--json")
    assert outcome.code == 2
    assert words in outcome.error
    assert not (reviewed.folder / "home" / "reviews").exists() or words == "SHA256SUMS"


def served(desk: Desk, url: str) -> None:
    desk.write("review.yaml", f"{POLICY}label_studio: {{url: '{url}'}}\n")


def test_a_server_that_does_not_answer_leaves_the_files_and_says_how_to_go_on(
    assay: Assay, reviewed: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(reviewed, "http://127.0.0.1:9")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "a-token-that-nobody-may-see")
    outcome = assay("review", "export", *FILES, "--json")
    assert outcome.code == 12
    (folder,) = (reviewed.folder / "home" / "reviews").glob("review-*")
    assert f"`assay review push {folder}` goes on" in outcome.error
    assert (folder / "manifest.json").is_file()
    assert "nobody-may-see" not in outcome.out + outcome.err
    assert assay("review", "push", folder, "--json").code == 12


def test_without_a_token_nothing_is_sent(
    assay: Assay, reviewed: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(reviewed, "http://127.0.0.1:9")
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    outcome = assay("review", "export", *FILES, "--json")
    assert outcome.code == 2
    assert outcome.error.startswith("LABEL_STUDIO_API_KEY: not set")
    assert assay("review", "export", *FILES, "--no-push", "--json").code == 0


def test_evidence_that_was_changed_is_not_believed(assay: Assay, reviewed: Desk) -> None:
    folder = reviewed.folder / "evidence"
    folder.mkdir()
    (folder / "verdict.json").write_text("{}")
    evidence.seal(folder)
    (folder / "verdict.json").write_text('{"verdict": "promote"}')
    outcome = assay("review", "export", folder, *FILES, "--json")
    assert outcome.code == 10
    assert "changed since the evidence was sealed" in outcome.error


def answered(folder: str) -> list[Row]:
    """The flat rows of an export, as three people answer them: everything is fear."""
    told = rows(folder, "review.jsonl")
    return [row | {"annotator": who, "label": "fear"} for row in told for who in ("a", "b", "c")]


INGEST = ("golden", "ingest", "labelled.jsonl", "--golden", "golden.jsonl", "--json")


def test_what_comes_back_under_names_without_meaning_is_known_again(
    assay: Assay, reviewed: Desk
) -> None:
    folder = assay("review", "export", *FILES, "--json").document["folder"]
    reviewed.write("relabel.yaml", "schema_version: 1\nannotators: {honeypots: 100}\n")
    reviewed.write("labelled.jsonl", answered(folder))
    found = assay(*INGEST, "--out", "proposal").document
    assert found["rows"]["accepted"] == 20
    assert found["reasons"] == {"accepted: added": 16, "accepted: honeypot": 4}
    meant = {row["id"]: row for row in rows(folder, "identities.jsonl")}
    golden = {case["id"]: case for case in rows("proposal", "golden.jsonl")}
    fresh = golden.keys() - {case["id"] for case in reviewed.cases}
    assert fresh == {name for name, row in meant.items() if not row["honeypot"]}
    for name in fresh:
        assert (golden[name]["stratum"] == "core") == (meant[name]["selection"] == "random")
    assert "ask-" not in "".join(path.read_text() for path in Path("proposal").iterdir())


def test_a_platform_s_word_moves_no_text_into_the_core(assay: Assay, reviewed: Desk) -> None:
    folder = assay("review", "export", *FILES, "--json").document["folder"]
    claims = {"selection": "random", "honeypot": False, "source": "elsewhere", "case_id": "x-1"}
    reviewed.write("relabel.yaml", "schema_version: 1\nannotators: {honeypots: 100}\n")
    reviewed.write("labelled.jsonl", [row | claims for row in answered(folder)])
    found = assay(*INGEST, "--out", "proposal").document
    assert found["reasons"] == {"accepted: added": 16, "accepted: honeypot": 4}
    golden = rows("proposal", "golden.jsonl")
    before = {case["id"] for case in reviewed.cases}
    added = [case for case in golden if case["id"] not in before]
    assert sum(case["stratum"] == "core" for case in added) == 4
    assert {case["source"] for case in added} == {"production"}


def test_answers_to_an_export_that_is_not_here_wait_until_it_is(
    assay: Assay, reviewed: Desk
) -> None:
    folder = assay("review", "export", *FILES, "--out", "elsewhere", "--json").document["folder"]
    reviewed.write("relabel.yaml", "schema_version: 1\nannotators: {honeypots: 100}\n")
    reviewed.write("labelled.jsonl", answered(folder))
    unknown = assay(*INGEST, "--out", "first")
    assert unknown.code == 10
    assert unknown.document["reasons"] == {"quarantined: unknown-name": 60}
    assert rows("first", "golden.jsonl") == rows(".", "golden.jsonl")
    assert "--reviews" in rows("first", "ingest_report.jsonl")[0]["detail"]
    known = assay(*INGEST, "--out", "second", "--reviews", "elsewhere")
    assert known.document["reasons"] == {"accepted: added": 16, "accepted: honeypot": 4}


def test_an_export_that_was_made_before_names_were_is_read_by_its_ids(
    assay: Assay, reviewed: Desk
) -> None:
    folder = assay("review", "export", *FILES, "--json").document["folder"]
    meant = {row.pop("name"): row for row in rows(folder, "identities.jsonl")}
    reviewed.write("relabel.yaml", "schema_version: 1\nannotators: {honeypots: 100}\n")
    reviewed.write("labelled.jsonl", [row | meant[row["id"]] for row in answered(folder)])
    (Path(folder) / "identities.jsonl").rename(Path(folder) / "moved")
    old = assay(*INGEST, "--out", "old").document
    (Path(folder) / "moved").rename(Path(folder) / "identities.jsonl")
    reviewed.write("labelled.jsonl", answered(folder))
    assert old["golden_digest"] == assay(*INGEST, "--out", "new").document["golden_digest"]
    assert old["reasons"] == {"accepted: added": 16, "accepted: honeypot": 4}


def test_what_ingestion_would_quarantine_is_not_asked_about(assay: Assay, reviewed: Desk) -> None:
    reviewed.write("relabel.yaml", "schema_version: 1\ntexts: {longest: 500}\n")
    long = " ".join(words(f"long {n}") for n in range(12))
    odd = [
        production(300, signal="thumbs_down", text=f"<p>{words('markup')}</p>"),
        production(301, signal="thumbs_down", text=long),
        production(302, signal="thumbs_down", text=f"{words('bell')}\x07"),
        production(303, signal="thumbs_down", lang=None),
    ]
    reviewed.write("votes.jsonl", odd)
    outcome = assay("review", "export", *FILES, "--json")
    left_out = outcome.document["manifest"]["left_out"]
    expected = {"control_characters": 1, "markup": 1, "no_language": 1, "too_long": 1}
    assert left_out == expected
    shown = assay("review", "export", *FILES, "--out", "again")
    assert "Left out: 1 control characters" in shown.out
