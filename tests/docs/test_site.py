"""The documentation site: built strictly, whole without a network, generated pages complete."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from assay.cli import app
from evaluators.registry import available

ROOT = Path(__file__).parents[2]
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(?:https?:)?//[^\"]*\""
    r"|<link\b[^>]*rel=\"(?:stylesheet|preconnect|icon|preload)\"[^>]*href=\"(?:https?:)?//[^\"]*\""
    r"|@import[^;]*https?:|url\(\s*['\"]?(?:https?:)?//[^)]*\)"
)
"""What a browser would fetch from elsewhere by itself."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # Not --quiet: it silences warnings before --strict counts them.
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def test_every_page_of_the_navigation_is_there_and_none_asks_the_network(site: Path) -> None:
    assert sum(1 for _ in site.glob("how-to/*.html")) >= 9
    assert sum(1 for _ in site.glob("runbooks/*.html")) >= 8
    pages = [*site.rglob("*.html"), *site.rglob("*.css"), *site.rglob("*.svg")]
    fetched = [
        f"{page.relative_to(site)}: {hit}"
        for page in pages
        for hit in FETCHED.findall(page.read_text(encoding="utf-8"))
    ]
    assert fetched == []


def test_the_reference_names_every_command_option_and_evaluator(site: Path) -> None:
    page = (site / "reference/cli.html").read_text(encoding="utf-8")
    wanted, waiting = [], [("assay", get_command(app))]
    while waiting:
        path, command = waiting.pop()
        children = getattr(command, "commands", {})
        waiting += [(f"{path} {name}", child) for name, child in children.items()]
        if not children:
            wanted += [f'id="{path.replace(" ", "-")}"']
            wanted += [f"<code>{one.opts[0]}</code>" for one in command.params]
    assert len(wanted) > 100
    assert [one for one in wanted if one not in page] == []
    evaluators = (site / "reference/evaluators.html").read_text(encoding="utf-8")
    assert [name for name in available() if f'id="{name}"' not in evaluators] == []
    assert "max_invalid_rate" in evaluators
    assert "backends_that_may_promote" in (site / "reference/policy.html").read_text()
    assert "verdict_bytes" in (site / "reference/api.html").read_text()


def test_what_links_leave_the_documentation_for_is_in_the_site(site: Path) -> None:
    assert (site / "repository/examples/ci/index.html").is_file()
    assert (site / "repository/evaluators/validity.py").is_file()
    assert (site / "changelog.html").is_file()
    assert re.search(
        r'<img [^>]*src="img/architecture.svg"', (site / "architecture.html").read_text()
    )


def test_the_navigation_names_every_page_but_those_left_out_on_purpose() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    named = set(re.findall(r"[\w/-]+\.md", str(config["nav"])))
    written = {
        path.relative_to(ROOT / "docs").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
        if path.parent.name != "decisions"
    }
    assert written - named == set(), "add these to nav in mkdocs.yml"


def test_the_picture_of_the_architecture_follows_its_source() -> None:
    source = (ROOT / "docs/img/architecture.mmd").read_text(encoding="utf-8").partition("\n")[2]
    quoted = re.findall(r'"([^"]+)"', source)
    words = {word for text in quoted for word in re.findall(r"\w+", text.replace("<br/>", " "))}
    drawn = re.findall(r">([^<>]+)<", (ROOT / "docs/img/architecture.svg").read_text("utf-8"))
    assert len(words) > 20
    assert words - set(re.findall(r"\w+", " ".join(drawn))) == set()
