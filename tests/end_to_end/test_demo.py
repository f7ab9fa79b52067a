"""The README's first command, and the commands that it ends with, as a newcomer gives them."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.doc_commands import run_in
from tests.docs.made_already import clean_environment, old
from tests.end_to_end.machine import CACHE, ROOT, Machine

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
]
(COMMAND,) = run_in("demo")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What a newcomer sees."""

    home: Path
    shown: str

    def command(self, begins: str) -> list[str]:
        """Returns the words of the command that is printed behind a label."""
        (line,) = re.findall(rf"^{begins}: (.*)$", self.shown, re.MULTILINE)
        return str(line).split()


@pytest.fixture(scope="module")
def demonstration(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    """`make demo` in a home of its own, with the models that `machine` has trained."""
    home = tmp_path_factory.mktemp("demo") / "home"
    home.mkdir()
    shutil.copytree(CACHE / "emotion-demo", home / "models")
    done = subprocess.run(
        [*COMMAND.words, *old(), f"DEMO_ARGS=--home {home}"],
        cwd=ROOT,
        env=clean_environment() | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=1400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    return Demonstration(home=home, shown=done.stdout)


def test_it_shows_a_promote_and_every_kind_of_block(demonstration: Demonstration) -> None:
    rows = re.findall(r"│ (\S[^│]*?) +│ (promote|block) +│", demonstration.shown)
    assert rows == [
        ("1.1.0", "promote"),
        ("1.2.0", "block"),
        ("1.3.0", "block"),
        ("1.1.0, worse engine settings", "block"),
    ]


@pytest.mark.parametrize(
    ("label", "says"),
    [("why it was blocked", "F1 of `fear` is 0.0"), ("prove that", "follows from")],
)
def test_the_commands_that_it_ends_with_say_why_and_prove_it(
    demonstration: Demonstration, label: str, says: str
) -> None:
    done = subprocess.run(
        demonstration.command(label),
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert says in done.stdout + done.stderr
