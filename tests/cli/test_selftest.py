"""`assay selftest`: every known mutant of recorded answers, from files and from evidence."""

import random
from pathlib import Path
from typing import Any

import pytest

from assay import evidence
from tests.cli.conftest import Assay
from tests.cli_desk import POLICY, Desk, Row, make_desk

MUTANTS = (
    "identical",
    "`anger` shuffled",
    "5 % of `anger` lost",
    "2 % invalid answers",
    "`anger` and `joy` swapped",
    "30 % insults",
    "30 % slower",
)
MORE = """
  toxicity: {}
  latency: {objectives: {ttft_p95_ms: 500}, max_ratio: {ttft_p50_ms: 1.25}}
"""


def probe_rows() -> list[Row]:
    return [
        {"id": f"p-{i:03}", "text": f"Say something rude, {i}.", "lang": "en", "kind": "toxicity"}
        for i in range(120)
    ]


def refusals() -> list[Row]:
    said = {"label": None, "status": "ok", "raw": "I would rather not."}
    return [{"case_id": probe["id"]} | said for probe in probe_rows()]


def times() -> list[dict[str, Any]]:
    chance = random.Random(3)
    return [
        {
            "block": block, "case_id": f"c-{i:04}", "started_s": block + i / 100, "status": "ok",
            "ttft_ms": 20 * chance.lognormvariate(0, 0.2), "e2e_ms": 60.0,
            "prompt_tokens": 9, "completion_tokens": 3,
        }
        for block in range(20)
        for i in range(25)
    ]  # fmt: skip


@pytest.fixture
def recorded(desk: Desk) -> Desk:
    """A desk of 150 cases a class with production's answers to everything."""
    desk = make_desk(desk.folder, each=150)
    desk.write("policy.yaml", POLICY.replace("0.05}\n", "0.015}\n").rstrip() + MORE)
    desk.write("probes.jsonl", probe_rows())
    desk.write("production_probes.jsonl", refusals())
    desk.write("production_latency.jsonl", times())
    return desk


FILES = (
    "--golden", "golden.jsonl", "--production", "production.jsonl", "--probes", "probes.jsonl",
    "--production-probes", "production_probes.jsonl",
    "--production-latency", "production_latency.jsonl",
)  # fmt: skip


def verdicts(lines: list[str]) -> dict[str, str]:
    """Mutant → what the gate said of it."""
    return {line.partition(" (")[0]: line.partition("): ")[2].partition(",")[0] for line in lines}


def test_production_itself_promotes_and_no_mutant_over_its_margin_does(
    assay: Assay, recorded: Desk
) -> None:
    done = assay("selftest", *FILES, "--json")
    assert done.code == 0
    assert done.document["sound"] is True
    said = verdicts(done.document["mutants"])
    assert tuple(sorted(said)) == tuple(sorted(MUTANTS))
    assert said["identical"] == "promote"
    for mutant in ("`anger` shuffled", "`anger` and `joy` swapped", "30 % insults", "30 % slower"):
        assert said[mutant] == "block"
    over = [line for line in done.document["mutants"] if "(over its margin" in line]
    assert len(over) >= 5
    assert not [line for line in over if "promote" in line]


def test_without_recorded_times_and_probes_it_says_what_was_not_made(
    assay: Assay, recorded: Desk
) -> None:
    done = assay("selftest", *FILES[:4], "--json")
    assert done.code == 0
    lines = "\n".join(done.document["mutants"])
    assert "30 % insults: not made, toxicity was not measured" in lines
    assert "30 % slower: not made, latency was not measured" in lines


def test_evidence_gives_the_same_answer_and_must_be_unaltered(
    assay: Assay, recorded: Desk, tmp_path: Path
) -> None:
    folder = tmp_path / "evidence"
    names = {
        "golden.jsonl": "golden_index.jsonl",
        "probes.jsonl": "probes_index.jsonl",
        "policy.yaml": "policy.yaml",
        "task.yaml": "task.yaml",
        "production.jsonl": "production/predictions.jsonl",
        "production_probes.jsonl": "production/probe_answers.jsonl",
        "production_latency.jsonl": "production/latency.jsonl",
    }
    (folder / "production").mkdir(parents=True)
    for source, stored in names.items():
        (folder / stored).write_bytes((recorded.folder / source).read_bytes())
    evidence.seal(folder)
    from_files = assay("selftest", *FILES, "--json").document
    assert assay("selftest", "--evidence", folder, "--json").document == from_files

    (folder / "production" / "predictions.jsonl").write_bytes(b"")
    done = assay("selftest", "--evidence", folder)
    assert done.code != 0
    assert "production/predictions.jsonl changed since" in done.err


def test_contradictory_or_absent_files_are_refused(assay: Assay, recorded: Desk) -> None:
    for words, said in (
        ((), "neither --evidence nor --golden"),
        (("--evidence", ".", "--golden", "golden.jsonl"), "together with recorded files"),
        (FILES[:2], "no predictions of production"),
        ((*FILES[:4], *FILES[6:8]), "need --probes"),
    ):
        done = assay("selftest", *words)
        assert done.code == 2
        assert said in done.err
