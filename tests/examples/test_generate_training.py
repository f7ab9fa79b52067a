"""The training text: repeatable, held-out statements really held out, nothing of the golden set."""

import random
from collections import Counter
from pathlib import Path

import pytest

import noise
from assay.golden_set import load_golden
from assay.near_duplicates import find_leaks
from assay.task import load_task
from generate_training import expand, generate, main, slots
from recipe import Grammar, Parts, TrainingText, load_recipe

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "emotion"
RECIPE = load_recipe(EXAMPLE / "recipe.yaml")
SETTINGS = TrainingText(
    holdout_share=0.25,
    variants_per_statement=2,
    combinations_per_label=30,
    word_rows_per_label=5,
    damaged_share=0.5,
)


def grammar(language: str = "en") -> Grammar:
    """Returns a grammar of two labels; one of them has no openers and no emoji."""
    rich = Parts(
        statements=[f"I wrote a long and happy line, number {n}" for n in range(40)],
        situations=[f"the sun rose over hill {n}" for n in range(20)],
        feelings=["I could sing", "I am glad"],
        openers=["Hooray,"],
        emoji=["🎉"],
        words=["glad", "merry", "cheerful"],
    )
    poor = Parts(
        statements=[f"The bus left at stop number {n}" for n in range(40)],
        situations=[f"the shop at number {n} is open" for n in range(20)],
        feelings=["as usual"],
    )
    frames = ["{situation}, {feeling}", "{opener} {situation} {emoji}"]
    return Grammar(language=language, frames=frames, labels={"joy": rich, "neutral": poor})


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert expand(grammar(), SETTINGS, 1) == expand(grammar(), SETTINGS, 1)
    assert expand(grammar(), SETTINGS, 1) != expand(grammar(), SETTINGS, 2)


def test_nothing_that_derives_from_a_held_out_statement_is_trained_on() -> None:
    training, held_out = expand(grammar(), SETTINGS, 1)
    origins = {row.id for row in held_out}
    assert len(held_out) == 20
    assert not [row.id for row in training if row.id.split("-v")[0] in origins]


def test_a_smaller_share_holds_fewer_phrases_and_the_same_held_out_statements() -> None:
    whole, held_out = expand(grammar(), SETTINGS, 1)
    part, same = expand(grammar(), SETTINGS, 1, share=0.5)
    assert held_out == same

    def statements(rows: list) -> set[str]:
        return {row.id for row in rows if "-s" in row.id and "-v" not in row.id}

    assert statements(part) < statements(whole)
    assert len(statements(part)) == len(statements(whole)) / 2


def test_a_new_phrase_of_one_label_leaves_the_rows_of_the_others_alone() -> None:
    before, _ = expand(grammar(), SETTINGS, 1)
    changed = grammar()
    changed.labels["joy"].statements.append("One more thing to be happy about")
    after, _ = expand(changed, SETTINGS, 1)

    def neutral(rows: list) -> list:
        return [row for row in rows if row.label == "neutral"]

    assert neutral(before) == neutral(after)


def test_a_label_without_openers_uses_the_frames_that_need_none() -> None:
    training, _ = expand(grammar(), SETTINGS, 1)
    combined = [row for row in training if row.id.startswith("en-neutral-c")]
    assert combined
    assert not [row for row in combined if "{" in row.text or "Hooray" in row.text]


def test_no_text_is_empty_or_stands_twice() -> None:
    training, _ = expand(grammar(), SETTINGS, 1)
    assert all(row.text.strip() for row in training)
    assert max(Counter(row.text for row in training).values()) == 1


def test_slots_are_the_names_in_braces() -> None:
    assert slots("{opener} {situation}... {emoji}") == ["opener", "situation", "emoji"]


def test_diacritics_are_taken_off_as_on_a_plain_keyboard() -> None:
    assert noise.without_diacritics("Đừng sợ, đã ổn rồi") == "Dung so, da on roi"


@pytest.mark.parametrize(
    "damage",
    [noise.slip, noise.stretched, noise.unpunctuated, noise.shouted, noise.shortened,
     noise.reordered],
)  # fmt: skip
@pytest.mark.parametrize("text", ["", "?", "ok", "🎉", "a b", "Nothing here is wrong, I think."])
def test_damage_never_fails_and_repeats_itself(damage: noise.Noise, text: str) -> None:
    damaged = damage(text, random.Random(3))
    assert damaged == damage(text, random.Random(3))


@pytest.fixture(scope="module")
def corpus() -> tuple[list, list]:
    """The real training text and the real held-out statements."""
    return generate(RECIPE, EXAMPLE / "grammar")


def test_the_real_grammars_give_enough_text_of_every_label_and_language(
    corpus: tuple[list, list],
) -> None:
    training, held_out = corpus
    labels = set(load_task(ROOT / "task.yaml").labels)
    assert 15_000 <= len(training) <= 30_000
    for rows, least in ((training, 1_000), (held_out, 10)):
        counts = Counter((row.lang, row.label) for row in rows)
        assert set(counts) == {(lang, label) for lang in RECIPE.languages for label in labels}
        assert min(counts.values()) >= least


def test_the_real_text_shares_nothing_with_the_golden_set(corpus: tuple[list, list]) -> None:
    labels = load_task(ROOT / "task.yaml").labels
    files = sorted((ROOT / "golden_data" / "cases").glob("*.jsonl"))
    golden = {case.id: case.text for file in files for case in load_golden(file, labels).cases}
    assert len(golden) >= 980
    texts = {row.id: row.text for part in corpus for row in part}
    leaks = find_leaks(texts, golden)
    assert [(leak.first, leak.second) for leak in leaks] == []


def test_the_command_writes_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path)]) == 0
    assert (tmp_path / "train.jsonl").read_text("utf-8").count("\n") >= 15_000
    assert (tmp_path / "dev.jsonl").exists()
    assert "held out" in capsys.readouterr().out
