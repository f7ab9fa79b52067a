"""Label Studio tasks, their configuration, and flat rows; drawing; the policy."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from assay.errors import ConfigError
from assay.review.admission import ReviewItem, Shown
from assay.review.drawing import by_weight, in_turn, spread
from assay.review.policy import load_review_policy
from assay.review.tasks import flat_row, identity_row, label_studio_task, labelling_config

NAME = f"ask-{0:032x}"
ROOT = Path(__file__).parents[3]


def item(selection: str, **changes: Any) -> ReviewItem:
    settled: dict[str, Any] = {
        "id": "r1",
        "text": "<b>hello</b>",
        "lang": "en",
        "source": "production",
        "selection": selection,
        "signals": (selection,),
        "shown": Shown(label="joy", model_version="emotion@1.0.0", score=0.4),
        "golden": False,
    }
    return ReviewItem(**(settled | changes))


def task(one: ReviewItem) -> dict[str, Any]:
    return label_studio_task(
        one, NAME, question="emotion", blind=("random", "honeypot"), export="e1"
    )


def test_a_task_has_a_name_without_meaning_and_the_model_s_label_as_its_prediction() -> None:
    found = task(item("thumbs_down"))
    assert found["data"] == {
        "id": NAME,
        "text": "<b>hello</b>",
        "lang": "en",
        "export": "e1",
    }
    (prediction,) = found["predictions"]
    assert prediction["model_version"] == "emotion@1.0.0"
    assert prediction["score"] == 0.4
    assert prediction["result"][0]["value"] == {"choices": ["joy"]}


def test_an_unknown_score_is_absent_and_not_zero() -> None:
    shown = Shown(label="joy", model_version="m", score=None)
    assert "score" not in task(item("thumbs_down", shown=shown))["predictions"][0]


@pytest.mark.parametrize("selection", ["random", "honeypot"])
def test_the_random_share_and_honeypots_do_not_suggest_an_answer(selection: str) -> None:
    one = item(selection)
    assert "predictions" not in task(one)
    assert flat_row(one, NAME, ("random", "honeypot"))["shown"] is None


def test_a_honeypot_looks_like_any_text_drawn_at_random() -> None:
    trap = item("honeypot", golden=True, id="en-joy-007", source="handwritten")
    assert task(trap) == task(item("random"))
    assert flat_row(trap, NAME, ("honeypot",)) == flat_row(item("random"), NAME, ("random",))


def test_what_a_task_does_not_say_is_kept_in_its_identity() -> None:
    trap = item("honeypot", golden=True, id="en-joy-007", source="handwritten")
    assert identity_row(trap, NAME).model_dump() == {
        "name": NAME,
        "id": "en-joy-007",
        "lang": "en",
        "source": "handwritten",
        "selection": "honeypot",
        "honeypot": True,
    }
    assert not identity_row(item("random"), NAME).honeypot


def test_no_task_says_its_language_where_one_text_has_none() -> None:
    found = flat_row(item("random"), NAME, (), languages=False)
    assert "lang" not in found


def test_a_flat_row_waits_for_people_s_answer() -> None:
    assert flat_row(item("thumbs_down"), NAME, ()) == {
        "id": NAME,
        "text": "<b>hello</b>",
        "lang": "en",
        "shown": "joy",
    }


def test_the_configuration_asks_for_one_of_the_task_s_labels_whatever_they_are() -> None:
    labels = ['"quoted"', "<b>", "vui & buồn", *(f"label {n}" for n in range(9))]
    view = ElementTree.fromstring(labelling_config("emotion", labels))  # noqa: S314 - our own
    choices = view.find("Choices")
    assert choices is not None
    assert choices.get("name") == "emotion"
    assert choices.get("choice") == "single"
    assert [choice.get("value") for choice in choices] == labels
    assert [choice.get("hotkey") for choice in choices][9:] == ["0", None, None]
    text = view.find("Text")
    assert text is not None
    assert text.get("value") == "$text"


def test_strata_take_turns_until_all_are_drawn() -> None:
    assert list(in_turn("aaabbc", lambda sign: sign)) == list("abcaba")


def test_the_queue_furthest_behind_its_weight_is_next_and_refusals_cost_nothing() -> None:
    queues = {"a": iter([None, 1, None, 2, 3, 4]), "b": iter([None, None, 9, 8])}
    found = list(by_weight(queues, {"a": 2.0, "b": 1.0}))
    assert [name for name, _ in found] == ["a", "b", "a", "a", "b", "a"]
    assert [value for _, value in found] == [1, 9, 2, 3, 8, 4]


@pytest.mark.parametrize("rare", [0, 1, 3, 7])
def test_what_is_mixed_in_keeps_the_order_of_the_rest(rare: int) -> None:
    common = list(range(20))
    mixed = spread([-1] * rare, common, seed=3)
    assert [value for value in mixed if value >= 0] == common
    assert mixed.count(-1) == rare


def test_the_policy_that_ships_is_valid_and_is_the_default() -> None:
    policy = load_review_policy(ROOT / "review.yaml")
    assert policy == type(policy)()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("budget: 0", "budget"),
        ("random_share: 0.7\nhoneypot_share: 0.4", "more than the whole budget"),
        ("signals: {random: 1}", "'random': reserved"),
        ("signals: {}", "signals"),
        ("signals: {thumbs_down: 0}", "greater than 0"),
        ("signals: {thumbs_down: 1}\nlow_confidence_below: 0.4", "goes with the signal"),
        ("label_studio: {url: 'ftp://x'}", "label_studio.url"),
        ("label_studio: {url: 'https://me:secret@x'}", "label_studio.url"),
        ("label_studio: {url: 'http://x', token: abc}", "token: Extra inputs"),
    ],
)
def test_a_policy_that_is_wrong_names_the_field(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "review.yaml"
    path.write_text(f"schema_version: 1\n{text}\n")
    with pytest.raises(ConfigError, match=words):
        load_review_policy(path)
