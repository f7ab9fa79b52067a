"""Building for real in the serving environment: repeatable bytes, resumed and sound."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from assay.artifact_checks import check_folder
from tests.examples.short_recipe import EXAMPLE, short_recipe

ROOT = Path(__file__).parents[2]
SERVING_PYTHON = ROOT / ".venv-serving" / "bin" / "python"

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.paired,
    pytest.mark.slow,
    pytest.mark.skipif(
        not SERVING_PYTHON.exists(), reason="no serving environment; run serving/install_runtime.sh"
    ),
]


def run_build(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs build.py with the serving environment's Python."""
    command = [SERVING_PYTHON, EXAMPLE / "build.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)


def digests(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file of a built version."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_recipe("recipe.yaml", tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def built(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all versions were built once."""
    out = tmp_path_factory.mktemp("models")
    done = run_build("--out", out, "--recipe", recipe)
    assert done.returncode == 0, done.stderr
    return out


def test_every_version_passes_the_checks_of_the_store(built: Path) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"):
        checked = check_folder(built / version)
        assert checked.quantization == "awq-4bit-g128"
        assert checked.metadata["version"] == version
        assert checked.metadata["training_date"] == "2026-01-01"


def test_the_same_recipe_gives_the_same_bytes(built: Path, recipe: Path, tmp_path: Path) -> None:
    done = run_build("--out", tmp_path, "--recipe", recipe, "--versions", "1.2.0")
    assert done.returncode == 0, done.stderr
    # 1.2.0 is trained on from 1.1.0, so that one was built too.
    for version in ("1.1.0", "1.2.0"):
        assert digests(tmp_path / version) == digests(built / version)


def test_the_versions_differ_and_a_copy_differs_in_its_papers_alone(built: Path) -> None:
    original, copy = digests(built / "1.1.0"), digests(built / "1.3.0")
    assert {name for name in original if original[name] != copy[name]} == {
        "metadata.json",
        "README.md",
    }
    weights = {v: digests(built / v)["model.safetensors"] for v in ("1.0.0", "1.1.0", "1.2.0")}
    assert len(set(weights.values())) == 3


def test_what_is_unchanged_is_left_alone_and_what_is_damaged_is_built_again(
    built: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(built, out)
    before = digests(out / "1.0.0")
    assert "built: nothing" in run_build("--out", out, "--recipe", recipe).stderr
    (out / "1.0.0" / "config.json").write_text("{}")
    done = run_build("--out", out, "--recipe", recipe)
    assert "built: 1.0.0; unchanged: 1.1.0, 1.2.0, 1.3.0" in done.stderr
    assert digests(out / "1.0.0") == before


def test_a_killed_build_stops_at_once_and_the_next_one_is_whole(
    built: Path, recipe: Path, tmp_path: Path
) -> None:
    command = [SERVING_PYTHON, EXAMPLE / "build.py", "--out", tmp_path, "--recipe", recipe]
    build = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert build.stderr is not None
    for line in build.stderr:
        if "training on" in line:
            break
    at_work = psutil.Process(build.pid).children(recursive=True)
    assert at_work
    build.kill()
    build.wait(timeout=10)
    assert psutil.wait_procs(at_work, timeout=10)[1] == []
    build.stderr.close()
    assert run_build("--out", tmp_path, "--recipe", recipe).returncode == 0
    for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"):
        assert digests(tmp_path / version) == digests(built / version)


def test_labelled_files_are_trained_on_too(recipe: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for end, count in (("train", 60), ("dev", 6)):
        rows = [
            {"id": f"{end}-{n}", "text": f"{word} day number {n}", "label": label, "lang": "en"}
            for label, word in (("joy", "lovely"), ("anger", "dreadful"))
            for n in range(count)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (data / f"days_{end}.jsonl").write_text(text, encoding="utf-8")
    arguments = ("--recipe", recipe, "--versions", "1.1.0", "--data", data)
    done = run_build("--out", tmp_path / "out", *arguments)
    assert done.returncode == 0, done.stderr
    metrics = check_folder(tmp_path / "out" / "1.1.0").metadata["metrics"]["held_out"]
    assert set(metrics) >= {"joy", "anger", "macro"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--versions", "9.9.9"], "no version ['9.9.9']"),
        (["--data", "/nowhere"], "expected exactly one"),
        (["--recipe", "/nowhere/recipe.yaml"], "No such file"),
    ],
)
def test_bad_input_ends_with_a_message(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = run_build("--out", tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def measured() -> Mapping[str, object]:
    """What `serving_checks.py` measured."""
    script = Path(__file__).parent / "serving_checks.py"
    done = subprocess.run(
        [SERVING_PYTHON, script], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    measured: Mapping[str, object] = json.loads(done.stdout.splitlines()[-1])
    return measured


def test_scaling_changes_nothing_that_the_model_says(measured: Mapping[str, float]) -> None:
    assert measured["strayed"] < 1e-4 * measured["size"]


def test_activation_aware_rounding_costs_less_than_plain(measured: Mapping[str, float]) -> None:
    assert 0 < measured["aware_error"] < 0.8 * measured["plain_error"]


def test_nibbles_are_packed_as_vllm_packs_them(measured: Mapping[str, object]) -> None:
    assert measured["packs_like_vllm"] is True


def test_the_prompt_is_short_and_each_label_one_token(measured: Mapping[str, object]) -> None:
    assert measured["prompt"] == "<|user|> what a lovely day<|end|><|assistant|>"
    assert measured["label_tokens"] == [["joy"], ["fear"]]
