"""Every command that the documentation shows, and where a test runs it.

A command is run in one of a few prepared worlds, and held against the real command line, the
Makefile and prefect.yaml. One that no world knows fails.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.shell_commands import logical_lines, simple_commands

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(
        page
        for folder in ("evaluators", "examples", "golden_data", "mlflow", "serving")
        for page in sorted((ROOT / folder).rglob("*.md"))
    ),
]
SHELL = {"sh", "bash", "console", "shell"}
_FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shown:
    """A command as a page shows it."""

    page: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The command in one line."""
        return " ".join(self.words)

    @property
    def kind(self) -> str:
        """The command in one line, without the options of `assay` itself."""
        return re.sub(r"^assay( --log-\S+ \S+)+", "assay", self.text)


@dataclass(frozen=True, slots=True)
class Run:
    """Commands that are run in a world, and the exit codes that are as promised.

    A world is a prepared folder with what answers there; the module that calls `run_in` with its
    name makes it and runs all of its commands.
    """

    pattern: str
    world: str
    codes: tuple[int, ...] = (0,)


RUNS = (
    Run(r"\.venv/bin/assay (explain|verify) examples/emotion/recorded\b", "recorded"),
    Run(r"assay (explain|selftest|verify|approve|override|audit-log|reap|doctor)\b", "gate"),
    Run(r"assay store (publish|list|verify)\b(?!.*\$version)", "gate"),
    Run(r"assay store keygen\b", "fresh"),
    Run(r"assay policy backtest\b", "gate"),
    Run(r"assay judge\b.*--context", "evidence"),
    Run(r"assay judge\b", "desk"),
    Run(r"assay audit\b", "gate", (0, 10)),  # 10: it breaks rules, which the made-up one does
    Run(r"assay golden import\b", "import"),
    Run(r"assay (golden check golden\.jsonl|policy check policy)", "intents", (0, 10)),
    Run(r"assay golden (check|stats)\b(?!.*--model)", "project", (0, 10)),
    Run(r"assay policy check$", "project"),
    Run(r"assay (gate\b.*--backend endpoint|loadtest|init)\b", "served"),
    Run(r"assay notify\b", "channels"),
    Run(r"assay (golden (ingest|diff)|review export)\b", "people"),
    Run(r"assay gate\b.*--change", "engines", (1,)),  # a promote that waits for people
    Run(r"assay golden check\b.*--model", "engines", (0, 10)),
    Run(r"assay (gate|tune|rollback|golden publish|store publish)\b", "engines"),
    Run(r"jq\b", "engines"),
    Run(r"(prefect|python -c|sed)\b", "prefect"),
    Run(r"docker (build|run)\b", "image"),
    Run(r"docker compose\b", "compose"),
    Run(r"docker (pull|inspect)\b", "registry"),
    Run(r"(dvc (remote|push)|promtool|curl|pip|cp \.env\.example)\b", "programs"),
    Run(r"make (setup|mlflow|test|test-fast)$", "programs"),
    Run(r"make demo$", "demo"),
    Run(r"\.venv(-serving)?/bin/python examples/emotion/", "models"),
)


def shown() -> list[Shown]:
    """Returns the commands of all pages, each text once a page."""
    found: dict[Shown, None] = {}
    for page in PAGES:
        for language, block in fences(page):
            if language in SHELL:
                for words in _commands(block):
                    found[Shown(str(page.relative_to(ROOT)), tuple(words))] = None
    return list(found)


def fences(page: Path) -> Iterator[tuple[str, str]]:
    """Yields language and text of the fenced blocks of a page."""
    for fence in _FENCE.finditer(page.read_text(encoding="utf-8")):
        yield fence[2], textwrap.dedent(fence[3])


def run_of(command: Shown) -> Run | None:
    """Returns where a command is run; None where it is not."""
    return next((run for run in RUNS if re.match(run.pattern, command.kind)), None)


def run_in(*worlds: str) -> list[Shown]:
    """Returns the commands of these worlds, each text once, in the order of the text."""
    ours = {one.text: one for one in shown() if (run := run_of(one)) and run.world in worlds}
    return [ours[text] for text in sorted(ours)]


def _commands(block: str) -> Iterator[list[str]]:
    for line in logical_lines(block):
        yield from simple_commands(line)
