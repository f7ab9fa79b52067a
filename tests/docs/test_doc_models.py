"""The documentation's commands that make and measure models, run as they are written.

The recipes are short ones (`--recipe`), so that training takes seconds; the labelled rows and the
data set of the hub are made here, in the layout of the real ones.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pytest

from tests.docs.doc_commands import ROOT, Shown, run_in
from tests.examples.short_recipe import short_recipe

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.paired,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / ".venv-serving/bin/python").exists(),
        reason="no serving environment: run `make serving`",
    ),
]
COMMANDS = run_in("models")
LABELS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
HUB = "google-research-datasets/go_emotions"
BUILD = "build.py"


@dataclass(slots=True)
class ModelsWorld:
    """A folder that looks like the clone, with labelled rows and a data set of the hub."""

    folder: Path

    def run(self, command: Shown, models: str) -> subprocess.CompletedProcess[str]:
        """Runs a command; MODELS stands for the folder that is named."""
        words = [word.replace("MODELS", models) for word in command.words]
        if BUILD in command.text:
            by_data = {"--data", "--hub"} & set(words)
            words += ["--recipe", "recipe-data.yaml" if by_data else "recipe.yaml"]
        line = " ".join(words).replace("FOLDER", "rows").replace("--out models", f"--out {models}")
        return subprocess.run(
            ["bash", "-c", line],  # for the pattern and the variable in it
            cwd=self.folder,
            env=os.environ
            | {"DATA": "rows", "HF_HOME": str(self.folder / "hf"), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ModelsWorld:
    folder = tmp_path_factory.mktemp("models")
    for name in (".venv", ".venv-serving", "examples", "golden_data"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("recipe.yaml", "recipe-data.yaml"):
        short_recipe(name, folder)
    (folder / "rows").mkdir()
    for end, count in (("train", 60), ("dev", 4)):
        lines = (json.dumps(row) + "\n" for row in rows(end, count))
        (folder / f"rows/goemotions_ekman7_{end}.jsonl").write_text("".join(lines))
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "text": datasets.Value("string"),
            "labels": datasets.List(datasets.ClassLabel(names=list(LABELS))),
        }
    )
    for split, count in (("train", 60), ("validation", 4)):
        held = {
            "id": [row["id"] for row in rows(split, count)],
            "text": [row["text"] for row in rows(split, count)],
            "labels": [[LABELS.index(row["label"])] for row in rows(split, count)],
        }
        table = datasets.Dataset.from_dict(held, features=features)
        table.to_parquet(folder / HUB / "data" / f"{split}-00000-of-00001.parquet")
    first = next(one for one in COMMANDS if one.text.endswith(f"{BUILD} --out MODELS"))
    done = ModelsWorld(folder).run(first, str(folder / "built"))
    assert done.returncode == 0, done.stderr
    return ModelsWorld(folder)


def rows(end: str, each: int) -> list[dict[str, Any]]:
    """Returns labelled rows whose text names their label."""
    return [
        {
            "id": f"{end}-{label}-{number}",
            "text": f"a day of {label} in {end}, number {number}",
            "label": label,
            "lang": "en",
            "source": "made",
        }
        for label in LABELS
        for number in range(each)
    ]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.text)
def test_a_command_does_what_the_page_says(
    command: Shown, world: ModelsWorld, tmp_path: Path
) -> None:
    by_data = {"--data", "--hub"} & set(command.words)
    models = world.folder / "built" if not by_data else tmp_path / "built"
    done = world.run(command, str(models))
    assert done.returncode == 0, done.stdout + done.stderr
    if BUILD in command.text:
        assert (models / "1.1.0/model.safetensors").is_file()
    elif "golden_from_rows.py" in command.text:
        assert len((world.folder / "golden.jsonl").read_text().splitlines()) == 4 * len(LABELS)
    elif "overlap.py" in command.text:
        assert "no twins" in done.stderr
    else:
        assert "macro" in done.stdout
