"""Commands of the documentation that start engines or move production, run as they are written."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.chaos import stand_in_image
from tests.chaos.machine import PRODUCTION, Ended, short_folder
from tests.docs.doc_commands import Shown, run_in, run_of
from tests.docs.doc_engines import FRESH, EnginesWorld, engines_world

COMMANDS = run_in("engines")


@pytest.fixture(scope="module")
def prepared_world() -> Iterator[EnginesWorld]:
    with short_folder() as folder, engines_world(folder) as world:
        yield world


@pytest.fixture
def world(prepared_world: EnginesWorld) -> EnginesWorld:
    """The machine as it was before anything was done: 1.0.0 in production."""
    prepared_world.machine.restore()
    return prepared_world


def in_production(version: str) -> Callable[[EnginesWorld, Ended], None]:
    def check(world: EnginesWorld, ended: Ended) -> None:
        held = world.machine.production()
        assert held is not None
        assert held.version == version

    return check


def files(*names: str) -> Callable[[EnginesWorld, Ended], None]:
    def check(world: EnginesWorld, ended: Ended) -> None:
        assert [name for name in names if not (world.project / name).stat().st_size] == []
        assert json.loads(ended.result)["verdict"] == "promote"

    return check


def tagged(world: EnginesWorld, ended: Ended) -> None:
    tags = ["git", "tag", "--list", "golden-v1.2.0"]
    listed = subprocess.run(tags, cwd=world.project, capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == "golden-v1.2.0"
    assert "was asked all" in ended.said + ended.result


def in_store(world: EnginesWorld, ended: Ended) -> None:
    assert (world.machine.place / "store/emotion" / FRESH).is_dir()


def counted(world: EnginesWorld, ended: Ended) -> None:
    assert "1 gate" in ended.result


def advised(world: EnginesWorld, ended: Ended) -> None:
    assert "max-num-seqs" in ended.result + ended.said


DOES = {
    "assay rollback": in_production(PRODUCTION),
    "assay gate emotion 1.1.0 --json": files("junit.xml", "summary.md"),
    "assay gate emotion 1.1.0 --change": in_production(PRODUCTION),
    "assay gate": in_production(FRESH),
    "assay golden publish": tagged,
    "assay golden check": counted,
    "assay store publish": in_store,
    "assay tune": advised,
}
"""What must be so afterwards, by how the command begins."""


@pytest.mark.parametrize(
    "command",
    [c for c in COMMANDS if c.words[0] == "assay" and "docker" not in c.words],
    ids=lambda command: command.text,
)
def test_a_command_does_what_the_page_says(command: Shown, world: EnginesWorld) -> None:
    done(command, world)


@pytest.mark.docker
@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if "docker" in c.words], ids=lambda command: command.text
)
def test_a_command_does_so_in_a_container(command: Shown, world: EnginesWorld) -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "version"]).returncode:
        pytest.skip("no Docker engine answers")
    stand_in_image.build()
    done(command, world)


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c.words[0] == "jq"], ids=lambda command: command.text
)
def test_a_gate_s_log_can_be_asked_with_jq(command: Shown, world: EnginesWorld) -> None:
    if shutil.which("jq") is None:
        pytest.skip("no jq here: .ci/run installs it")
    world.machine.more = {"ASSAY_LOG_FORMAT": "json"}
    try:
        gated = world.run("gate", "emotion", FRESH, "--json")
    finally:
        world.machine.more = {}
    (world.project / "gate.jsonl").write_text(gated.said)
    asked = subprocess.run(
        command.words, cwd=world.project, capture_output=True, text=True, check=True, timeout=30
    )
    steps = [json.loads(line) for line in asked.stdout.splitlines()]
    assert ["judge", "ok"] in [step[:2] for step in steps]
    assert all(step[2] >= 0 for step in steps)


def done(command: Shown, world: EnginesWorld) -> None:
    run = run_of(command)
    assert run is not None
    ended = world.run(*world.words(command))
    assert ended.status in run.codes, ended.said + ended.result
    check = next(check for begins, check in DOES.items() if command.kind.startswith(begins))
    check(world, ended)
