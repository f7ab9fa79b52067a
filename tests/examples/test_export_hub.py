"""Exporting a labelled set: classes are mapped, ambiguous rows left out, files as build reads."""

import json
from pathlib import Path

import datasets
import pytest

import export_hub

NAMES = [name for members in export_hub.EKMAN.values() for name in members]


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["gratitude"], "joy"),
        (["joy", "love"], "joy"),
        (["fear", "nervousness"], "fear"),
        (["joy", "anger"], None),
        ([], None),
    ],
)
def test_a_row_gets_the_one_class_that_its_labels_share(
    names: list[str], label: str | None
) -> None:
    assert export_hub.one_class(names, export_hub.EKMAN) == label


def test_an_unknown_label_is_an_error() -> None:
    with pytest.raises(ValueError, match="'envy' belongs to no class"):
        export_hub.one_class(["envy"], export_hub.EKMAN)


def test_the_map_holds_each_of_the_28_labels_once() -> None:
    assert len(NAMES) == len(set(NAMES)) == 28


def test_a_real_data_set_becomes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "text": datasets.Value("string"),
            "labels": datasets.List(datasets.ClassLabel(names=NAMES)),
        }
    )
    joy, anger = NAMES.index("joy"), NAMES.index("anger")
    rows = {
        "id": ["a", "b", "c"],
        "text": ["What a day", "Both at once", "  "],
        "labels": [[joy], [joy, anger], [anger]],
    }
    hub = tmp_path / "owner" / "feelings"
    for split in ("train", "validation"):
        table = datasets.Dataset.from_dict(rows, features=features)
        table.to_parquet(hub / "data" / f"{split}-00000-of-00001.parquet")
    assert export_hub.main(["--hub", str(hub), "--out", str(tmp_path / "out")]) == 0
    written = (tmp_path / "out" / "feelings_train.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in written] == [
        {"id": "train-a", "text": "What a day", "label": "joy", "lang": "en", "source": str(hub)}
    ]
    assert (tmp_path / "out" / "feelings_dev.jsonl").exists()


def test_a_data_set_that_cannot_be_had_is_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_hub.main(["--hub", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
