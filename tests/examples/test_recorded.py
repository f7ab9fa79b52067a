"""The gate that the repository keeps a record of: still provable, and asked as the README says.

Evidence outlives the version of Assay that made it. What changes a recorded verdict's bytes, or
what is read of them, fails here before an auditor meets it.
"""

import json
import re
import subprocess

import pytest

from examples.emotion.demo import RECORDED
from tests.docs.doc_commands import ROOT, Shown, run_in

EXPECTED = {
    "explain": ("F1 of `fear`", "must not replace emotion-demo 1.1.0", "What to do next"),
    "verify": ("signed by the gate's key", "the verdict follows from them byte for byte"),
}


@pytest.mark.parametrize("command", run_in("recorded"), ids=lambda command: command.words[1])
def test_it_says_why_and_proves_it(command: Shown) -> None:
    done = subprocess.run(
        command.words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for words in EXPECTED[command.words[1]]:
        assert words in done.stdout + done.stderr


def test_it_can_be_read_before_anything_is_installed() -> None:
    page = (RECORDED / "report.html").read_text(encoding="utf-8")
    assert "<title>" in page
    assert "must not replace" in page


def test_it_is_a_block_of_real_engines_and_holds_no_text_of_cases() -> None:
    context = json.loads((RECORDED / "verdict.json").read_text())["context"]
    assert context["candidate"]["version"] == "1.2.0"
    assert context["engine"]["engine"] == "vllm"
    for line in (RECORDED / "golden_index.jsonl").read_text().splitlines():
        assert "text" not in json.loads(line)
    files = [path for path in RECORDED.rglob("*") if path.is_file()]
    private = re.compile(r"(?<![\w.])/(home|root|Users|work)/")
    assert [path for path in files if private.search(path.read_text(encoding="utf-8"))] == []
