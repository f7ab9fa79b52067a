"""The CI files that users copy: valid for their systems, sound shell, and commands that exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.shell_commands import check_assay, logical_lines, simple_commands

FOLDER = Path(__file__).parents[2] / "examples/ci"
GITHUB = sorted((FOLDER / "github").glob("*.yml"))
GITLAB = sorted((FOLDER / "gitlab").glob("*.yml"))
VALUES = {"PROFILE": "gpu", "CHANGE": "standard"}
"""Variables that the command line compares with a list of choices."""


def scripts(path: Path) -> list[str]:
    """Returns the shell scripts of a CI file."""
    jobs: dict[str, Any] = yaml.safe_load(path.read_text())
    if path in GITHUB:
        steps = [step for job in jobs["jobs"].values() for step in job.get("steps", ())]
        return [step["run"] for step in steps if "run" in step]
    lists = [
        job.get(part, [])
        for job in jobs.values()
        if isinstance(job, dict)
        for part in ("before_script", "script")
    ]
    return ["\n".join(lines) for lines in lists if lines]


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        (["--builtin-schema", "vendor.github-workflows"], GITHUB),
        (["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"], GITLAB),
    ],
    ids=["github", "gitlab"],
)
def test_the_files_fit_the_schema_of_their_system(schema: list[str], paths: list[Path]) -> None:
    assert paths
    done = subprocess.run(
        [Path(sys.executable).with_name("check-jsonschema"), *schema, *paths],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "path", [*GITHUB, *GITLAB], ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_the_shell_parts_are_sound(path: Path, tmp_path: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    for number, text in enumerate(scripts(path)):
        assert "${{" not in text, (
            "an input inside a script is run by it: hand it over as a variable"
        )
        script = tmp_path / f"{number}.sh"
        script.write_text(f"#!/usr/bin/env bash\nset -e\n{text}\n")
        for command in (["bash", "-n"], [str(shellcheck)]):
            done = subprocess.run(
                [*command, script], capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "path", [*GITHUB, *GITLAB], ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_every_assay_command_exists_as_it_is_written(path: Path) -> None:
    found = [
        [re.sub(r"\$(\w+)", lambda name: VALUES.get(name[1], name[0]), word) for word in words[1:]]
        for text in scripts(path)
        for line in logical_lines(text)
        for words in simple_commands(line)
        if words[0] == "assay"
    ]
    assert found or not any("assay " in text for text in scripts(path))
    for words in found:
        check_assay(words)


def test_every_action_is_pinned_by_its_commit() -> None:
    used = re.findall(r"uses: (\S+)", "".join(path.read_text() for path in GITHUB))
    foreign = [name for name in used if not name.startswith("./")]
    assert len(foreign) >= 5
    assert [name for name in foreign if not re.search(r"@[0-9a-f]{40}$", name)] == []


def test_the_caller_hands_over_every_secret_that_the_workflow_requires() -> None:
    workflow, caller = (
        yaml.safe_load((FOLDER / f"github/{n}.yml").read_text()) for n in ("assay-gate", "release")
    )
    asked = workflow[True]["workflow_call"]  # YAML 1.1 reads the key `on` as true
    given = caller["jobs"]["gate"]
    assert set(given["secrets"]) == set(asked["secrets"])
    assert set(given["with"]) <= set(asked["inputs"])
    required = {name for name, one in asked["inputs"].items() if one.get("required")}
    assert required <= set(given["with"])


def test_the_gates_script_tells_the_verdict_and_keeps_its_exit_code(tmp_path: Path) -> None:
    """Runs the step as it is, with an `assay` that blocks."""
    (text,) = [t for t in scripts(FOLDER / "github/assay-gate.yml") if "assay gate" in t]
    program = tmp_path / "bin/assay"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "{\\"verdict\\": \\"block\\"}"\nexit 10\n')
    program.chmod(0o755)
    (tmp_path / "bin/python").symlink_to(sys.executable)
    done = subprocess.run(
        [shutil.which("bash") or "bash", "-e", "-o", "pipefail", "-c", text],
        cwd=tmp_path,
        env={
            "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "EVIDENCE": "evidence", "MODEL": "emotion",
            "VERSION": "1.2.0", "PROFILE": "gpu", "CHANGE": "standard",
            "GITHUB_STEP_SUMMARY": "summary.md", "GITHUB_OUTPUT": "output",
        },
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 10, done.stderr
    assert (tmp_path / "output").read_text() == "verdict=block\n"
