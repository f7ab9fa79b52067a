"""What a recipe and a grammar may say, and how a wrong one is refused."""

from pathlib import Path

import pytest
import yaml

from recipe import load_grammars, load_recipe

EXAMPLE = Path(__file__).parents[2] / "examples" / "emotion"


def changed(tmp_path: Path, **changes: object) -> Path:
    """Writes the real recipe with some fields changed; returns its path."""
    document = yaml.safe_load((EXAMPLE / "recipe.yaml").read_text("utf-8")) | changes
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["recipe.yaml", "recipe-data.yaml"])
def test_the_recipes_of_the_project_are_valid(name: str) -> None:
    assert load_recipe(EXAMPLE / name).versions


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sead": 1}, "sead"),
        ({"languages": []}, "languages"),
        ({"versions": {"1.1.0": {"description": "x", "copy_of": "1.0.0"}}}, "list that one before"),
        ({"versions": {"1.0.0": {"description": "x"}}}, "`copy_of` or a `schedule`"),
        ({"tokenizer": {"vocab_size": 0, "min_frequency": 2}}, "vocab_size"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    path = changed(tmp_path, **changes)
    with pytest.raises(ValueError, match=said) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


def test_versions_that_need_each_other_are_one_family() -> None:
    recipe = load_recipe(EXAMPLE / "recipe.yaml")
    assert recipe.families(recipe.versions) == [["1.0.0"], ["1.1.0", "1.2.0", "1.3.0"]]
    assert recipe.families(["1.3.0", "1.0.0", "1.2.0"]) == [["1.3.0", "1.2.0"], ["1.0.0"]]


def test_a_layer_that_awq_cannot_group_is_refused(tmp_path: Path) -> None:
    architecture = load_recipe(EXAMPLE / "recipe.yaml").architecture.model_dump()
    path = changed(tmp_path, architecture=architecture | {"hidden_size": 96})
    with pytest.raises(ValueError, match="128"):
        load_recipe(path)


def test_a_recipe_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("versions: [", encoding="utf-8")
    with pytest.raises(ValueError, match="correct the file"):
        load_recipe(path)


def test_grammars_with_different_labels_are_refused(tmp_path: Path) -> None:
    for language, labels in (("en", ["joy", "fear"]), ("vi", ["joy"])):
        parts = {label: {"statements": ["a line"]} for label in labels}
        document = {"language": language, "frames": ["{situation}"], "labels": parts}
        (tmp_path / f"{language}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ValueError, match=r"vi\.yaml: labels \['joy'\]; expected"):
        load_grammars(tmp_path, ["en", "vi"])
