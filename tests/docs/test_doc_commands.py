"""Every command in the documentation exists as it is written, and is run."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from assay.cli import main
from tests.docs.doc_commands import (
    PAGES,
    ROOT,
    RUNS,
    SHELL,
    Shown,
    fences,
    run_in,
    run_of,
    shown,
)
from tests.docs.doc_worlds import Worlds, make_worlds
from tests.shell_commands import check_assay

COMMANDS = shown()
RUN = run_in(
    "gate",
    "fresh",
    "evidence",
    "desk",
    "import",
    "intents",
    "project",
    "served",
    "channels",
    "people",
)
PREFECT_NAMES = {
    name
    for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    for name in (
        one["name"],
        f"{one['entrypoint'].rpartition('.')[2].replace('_', '-')}/{one['name']}",
    )
}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    with ExitStack() as running:
        yield make_worlds(tmp_path_factory.mktemp("docs"), running)


def test_no_command_hides_in_a_block_that_is_not_marked_as_shell() -> None:
    program = re.compile(r"^(\$ )?(assay|make|prefect|docker|pip|python|kubectl|dvc|git) \S", re.M)
    hidden = [
        f"{page.relative_to(ROOT)}: {text[:60]}"
        for page in PAGES
        for language, text in fences(page)
        if language not in SHELL and language not in ("yaml", "json") and program.search(text)
    ]
    assert hidden == [], "mark these blocks as sh"


def test_every_command_is_run() -> None:
    assert len(COMMANDS) > 80
    assert len(RUN) > 30
    unknown = [command for command in COMMANDS if run_of(command) is None]
    assert unknown == [], "give them a world in tests/docs/doc_commands.py, and run them there"


def test_every_world_has_a_module_that_runs_its_commands() -> None:
    modules = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    calls = (call for text in modules for call in re.findall(r"run_in\(([^)]*)\)", text))
    claimed = {world for call in calls for world in re.findall(r'"([\w-]+)"', call)}
    assert {run.world for run in RUNS} == claimed


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c.words[0] == "assay"], ids=lambda c: f"{c.page}: {c.text}"
)
def test_an_assay_command_exists_as_it_is_written(command: Shown) -> None:
    check_assay(list(command.words[1:]))


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c.words[0] != "assay"], ids=lambda c: f"{c.page}: {c.text}"
)
def test_another_command_names_what_exists(command: Shown) -> None:
    words = command.words
    if words[0] == "make":
        assert words[1] in TARGETS
    elif words[:3] == ("prefect", "deployment", "run"):
        assert words[3] in PREFECT_NAMES
    elif words[0].endswith("python") and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file()
    for word in words:
        if word.startswith("deploy/"):
            assert (ROOT / word).is_file(), word


@pytest.mark.parametrize("command", RUN, ids=lambda command: command.text)
def test_a_command_does_what_the_page_says(
    command: Shown,
    worlds: Worlds,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = run_of(command)
    assert run is not None
    place: Path = worlds.place(run.world)
    monkeypatch.chdir(place)
    for name in ("ASSAY_HOME", "ASSAY_STORE", "ASSAY_TRUST", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (worlds.environment | {"ASSAY_WHO": "reader"}).items():
        monkeypatch.setenv(name, value)
    code = main(worlds.words(command))
    said = "".join(capfd.readouterr())
    assert code in run.codes, said[-2000:]
