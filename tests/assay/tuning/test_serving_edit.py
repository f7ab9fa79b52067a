"""Changing a serving file in place: its comments stay, and it says what was meant."""

import subprocess
from pathlib import Path

import pytest
import yaml

from assay.errors import ConfigError
from assay.serving_profile import Profile, Serving
from assay.tuning.serving_edit import edited, unified_diff

ROOT = Path(__file__).parents[3]
FLOW = (ROOT / "serving.yaml").read_text()
BLOCK = """\
# on top
schema_version: 1
profiles:
  cpu:
    image: x   # the image
    arguments:
      - --aa   # first
      - "1"
      # about bb
      - --bb
    environment:
      K: "1"   # kept
    limits: {memory_gib: 1}   # little
"""
SMALL = "schema_version: 1\nprofiles:\n  cpu: {image: x, limits: {memory_gib: 1}}\n"
BARE = "schema_version: 1\nprofiles:\n  cpu:\n    image: x\n    limits: {memory_gib: 1}"


def profile_of(text: str) -> Profile:
    return Serving.model_validate(yaml.safe_load(text)).profile("cpu")


def changed(text: str, arguments: tuple[str, ...], environment: dict[str, str]) -> str:
    wanted = profile_of(text).model_copy(
        update={"arguments": arguments, "environment": environment}
    )
    result = edited(text, "cpu", wanted, where="serving.yaml")
    assert profile_of(result).arguments == arguments
    assert dict(profile_of(result).environment) == environment
    return result


CASES = [
    (("--aa", "2", "--bb"), {"K": "1"}),
    (("--aa", "2", "--no-bb", "--cc", "x y"), {"K": "2", "L": "3"}),
    (("--bb",), {"K": "1"}),
    (("--new", "--aa", "1", "--bb", "--z=1,2"), {"K": "a: b #c"}),
    (("--aa", "yes", "--bb", "null", "--cc", "01"), {"K": "1"}),
]


@pytest.mark.parametrize("text", [FLOW, BLOCK, SMALL, BARE], ids=["flow", "block", "small", "bare"])
@pytest.mark.parametrize(("arguments", "environment"), CASES)
def test_every_way_of_writing_is_changed_in_place(
    text: str, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    kept = dict(profile_of(text).environment) | environment
    result = changed(text, arguments, kept)
    for comment in (line.partition("#")[2] for line in text.splitlines() if "#" in line):
        if "--aa" not in text or comment.strip() not in ("first",):
            assert comment in result


def test_only_what_differs_changes() -> None:
    result = changed(BLOCK, ("--aa", "2", "--bb"), {"K": "1"})
    assert result == BLOCK.replace('- "1"', '- "2"')


def test_nothing_to_change_changes_nothing() -> None:
    assert edited(FLOW, "cpu", profile_of(FLOW), where="serving.yaml") == FLOW


def test_windows_line_ends_stay() -> None:
    text = BLOCK.replace("\n", "\r\n")
    result = changed(text, ("--aa", "2", "--bb"), {"K": "1"})
    assert result == text.replace('- "1"', '- "2"')


def test_the_diff_is_a_patch_that_applies(tmp_path: Path) -> None:
    for text in (BLOCK, BARE):
        after = changed(text, ("--aa", "3"), {**profile_of(text).environment, "N": "1"})
        (tmp_path / "serving.yaml").write_text(text)
        patch = unified_diff(text, after, "serving.yaml")
        done = subprocess.run(
            ["git", "apply", "-"], input=patch, text=True, cwd=tmp_path, capture_output=True,
            env={"PATH": "/usr/bin:/bin", "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "serving.yaml").read_text() == after


@pytest.mark.parametrize(
    "text",
    [
        'schema_version: 1\nx: &a ["--aa"]\nprofiles:\n  cpu: {image: x, arguments: *a}\n',
        "schema_version: 1\nprofiles: []\n",
        "schema_version: 1\nprofiles: {cpu: x}\n",
        "schema_version: 1\nprofiles: {gpu: {}}\n",
        "{",
    ],
)
def test_a_file_that_cannot_be_changed_in_place_is_refused(text: str) -> None:
    wanted = profile_of(SMALL).model_copy(update={"arguments": ("--aa", "1")})
    with pytest.raises(ConfigError, match=r"serving\.yaml: cannot be changed in place"):
        edited(text, "cpu", wanted, where="serving.yaml")
