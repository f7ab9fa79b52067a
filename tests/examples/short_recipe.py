"""The example's recipes with little text and few steps: everything happens, nothing is learnt."""

from pathlib import Path

import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "emotion"


def short_recipe(name: str, folder: Path) -> Path:
    """Writes the short form of a recipe into the folder; returns its path."""
    document = yaml.safe_load((EXAMPLE / name).read_text("utf-8"))
    if "training_text" in document:
        document["training_text"] |= {"variants_per_statement": 0, "combinations_per_label": 20}
    document["tokenizer"]["vocab_size"] = 1500
    for version in document["versions"].values():
        if "schedule" in version:
            version["schedule"] |= {"steps": 12, "batch_size": 16}
    path = folder / name
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path
