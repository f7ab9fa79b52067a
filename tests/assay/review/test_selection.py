"""How the budget of an export is shared out."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.review.admission import Asked
from assay.review.selection import Selection
from assay.review.work_orders import WorkOrder
from tests.review_rig import draw, golden_case, pool, request, words

TRAFFIC = [request(number) for number in range(300)]
VOTES = [request(number, "thumbs_down") for number in range(300, 360)]
GOLDEN = [golden_case(number) for number in range(60)]


def reasons(selection: Selection) -> Counter[str]:
    return Counter(item.selection for item in selection.items)


def order(label: str, asked: int) -> WorkOrder:
    return WorkOrder(label=label, needed=asked, precision=1.0, asked=asked)


def test_the_budget_is_kept_and_the_shares_are_what_the_policy_says() -> None:
    found = draw(pool(traffic=TRAFFIC, feedback=VOTES, golden=GOLDEN), budget=50)
    assert reasons(found) == {"random": 10, "honeypot": 5, "thumbs_down": 35}


def test_the_same_seed_gives_the_same_items_whatever_the_order_of_lines() -> None:
    shuffled = random.Random(1).sample(TRAFFIC, len(TRAFFIC))
    first = draw(pool(traffic=TRAFFIC, feedback=VOTES, golden=GOLDEN), budget=60)
    again = draw(pool(traffic=shuffled, feedback=VOTES[::-1], golden=GOLDEN[::-1]), budget=60)
    assert first == again
    other = draw(pool(traffic=TRAFFIC, feedback=VOTES, golden=GOLDEN), budget=60, seed=8)
    assert {item.id for item in first.items} != {item.id for item in other.items}


def random_ids(selection: Selection) -> set[str]:
    return {item.id for item in selection.items if item.selection == "random"}


@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(0, 299), max_size=100), st.integers(0, 2**32))
def test_the_random_share_is_drawn_without_regard_to_any_signal(
    signalled: set[int], seed: int
) -> None:
    calm = draw(pool(traffic=TRAFFIC), budget=40, seed=seed)
    loud = [TRAFFIC[number] for number in signalled]
    votes = [request(int(r.id[4:]), "thumbs_down") for r in loud]
    orders = (order("fear", 20),)
    busy = draw(pool(traffic=TRAFFIC, feedback=votes, orders=orders), budget=40, seed=seed)
    assert random_ids(calm) < random_ids(busy)  # enlarged for the order: more of the same draw
    assert len(random_ids(calm)) == 8
    larger = draw(pool(traffic=TRAFFIC), budget=40, seed=seed, random_share=24 / 40)
    assert random_ids(busy) == random_ids(larger)


def test_the_random_share_has_the_traffic_s_mix_of_labels() -> None:
    skewed = [request(n, label="fear" if n % 10 == 0 else "joy") for n in range(2000)]
    share = [
        item.shown.label == "fear"
        for seed in range(10)
        for item in draw(
            pool(traffic=skewed), budget=300, random_share=1, honeypot_share=0, seed=seed
        ).items
        if item.shown
    ]
    assert 0.08 < sum(share) / len(share) < 0.12


def test_feedback_alone_yields_no_random_share() -> None:
    found = draw(pool(feedback=VOTES, golden=GOLDEN), budget=40)
    assert "random" not in reasons(found)


def test_work_orders_come_first_and_take_only_their_class() -> None:
    offered = pool(traffic=TRAFFIC, feedback=VOTES, orders=(order("fear", 12),))
    found = draw(offered, budget=40)  # a third of the traffic is fear: 36 at random hold 12
    first = found.items[:12]
    assert {item.selection for item in first} == {"work_order"}
    assert {item.shown.label for item in first if item.shown} == {"fear"}
    assert reasons(found) == {"work_order": 12, "random": 28}
    assert found.queued == {"fear": 12}


def test_an_order_that_the_traffic_cannot_fill_says_what_it_got() -> None:
    few = [request(n, label="fear") for n in range(5)]
    found = draw(pool(traffic=few, orders=(order("fear", 61),)), budget=200, random_share=0)
    assert found.queued == {"fear": 5}


def test_two_orders_take_turns_when_the_budget_is_short() -> None:
    found = draw(
        pool(traffic=TRAFFIC, orders=(order("fear", 60), order("joy", 40))),
        budget=20,
        random_share=0,
    )
    assert found.queued == {"fear": 10, "joy": 10}


def test_signals_share_the_rest_by_their_weights() -> None:
    votes = [request(n, "thumbs_down") for n in range(100)]
    votes += [request(n, "low_confidence") for n in range(100, 200)]
    found = draw(pool(feedback=votes), budget=40, signals={"thumbs_down": 3, "low_confidence": 1})
    assert reasons(found) == {"thumbs_down": 30, "low_confidence": 10}


def test_what_one_signal_cannot_use_goes_to_the_others() -> None:
    votes = [request(1, "thumbs_down"), *(request(n, "low_confidence") for n in range(2, 90))]
    assert reasons(draw(pool(feedback=votes), budget=40)) == {
        "thumbs_down": 1,
        "low_confidence": 39,
    }


def test_within_a_signal_the_labels_take_turns() -> None:
    votes = [request(n, "thumbs_down", label="joy") for n in range(100)]
    votes += [request(n, "thumbs_down", label="fear") for n in range(100, 106)]
    found = draw(pool(feedback=votes), budget=20)
    assert Counter(i.shown.label for i in found.items if i.shown) == {"joy": 14, "fear": 6}


def test_the_least_confident_are_looked_at_first() -> None:
    votes = [request(n, "low_confidence", confidence=n / 100, label="joy") for n in range(100)]
    found = draw(pool(feedback=votes), budget=5)
    assert {item.id for item in found.items} == {f"req-{n:04}" for n in range(5)}


def test_suspected_labels_come_in_the_order_of_suspicion_and_are_no_honeypots() -> None:
    suspects = tuple(case.id for case in GOLDEN[:10])
    found = draw(pool(golden=GOLDEN, doubts={"suspected_label": suspects}), budget=8)
    asked = {item.id for item in found.items if item.selection == "suspected_label"}
    assert asked == set(suspects[: len(asked)])
    traps = {item.id for item in found.items if item.selection == "honeypot"}
    assert len(traps) == 1
    assert not traps & set(suspects)


def test_honeypots_are_of_every_label_and_spread_over_the_queue() -> None:
    found = draw(pool(feedback=VOTES, golden=GOLDEN), budget=60, honeypot_share=0.15)
    places = [at for at, item in enumerate(found.items) if item.selection == "honeypot"]
    assert len(places) == 9
    assert all(any(low <= at < low + 14 for at in places) for low in range(0, 54, 7))
    labels = {int(item.id[5:]) % 3 for item in found.items if item.selection == "honeypot"}
    assert labels == {0, 1, 2}


def test_a_request_with_several_signals_is_asked_once_and_keeps_them_all() -> None:
    both = request(1, "thumbs_down", "toxicity_filter")
    found = draw(pool(feedback=[both]), budget=10)
    assert [item.signals for item in found.items] == [("thumbs_down", "toxicity_filter")]


def test_a_signal_raised_about_traffic_is_seen_there_too() -> None:
    votes = [request(5, "thumbs_down")]
    found = draw(
        pool(traffic=TRAFFIC, feedback=votes), budget=300, random_share=1, honeypot_share=0
    )
    five = next(item for item in found.items if item.id == "req-0005")
    assert five.selection == "random"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"text": "x" * 4001}, "too_long"),
        ({"text": "mai@example.org"}, "redacted_away"),
        ({"text": "   "}, "empty_text"),
        ({"text": f"<b>{words(9)}</b>"}, "markup"),
        ({"text": f"{words(9)}\x1b[2J"}, "control_characters"),
        ({"text": f"{words(9)} Ã©tÃ©"}, "encoding"),
        ({"lang": None}, "no_language"),
        ({"id": "mai@example.org"}, "unsafe_id"),
        ({"id": "case-001"}, "already_golden"),
        ({"text": words("golden 3").upper() + "!"}, "already_golden"),
        ({"id": "req-9999"}, "already_asked"),
        ({"text": words("asked")}, "already_asked"),
    ],
)
def test_what_may_not_be_asked_is_left_out_and_counted(
    changes: dict[str, str | None], why: str
) -> None:
    earlier = draw(pool(feedback=[request(9999, "thumbs_down", text=words("asked"))]), budget=1)
    asked = Asked(
        ids=frozenset(item.id for item in earlier.items),
        keys=frozenset(item.key for item in earlier.items),
    )
    votes = [request(1, "thumbs_down", **changes), request(2, "thumbs_down")]
    found = draw(pool(feedback=votes, golden=GOLDEN), budget=20, honeypot_share=0, asked=asked)
    assert [item.id for item in found.items] == ["req-0002"]
    assert found.left_out == {why: 1}


def test_near_duplicates_are_asked_about_once() -> None:
    text = "the parcel was left in the rain and nobody rang the bell"
    votes = [
        request(1, "thumbs_down", text=text),
        request(2, "thumbs_down", text=text.replace("the rain", "that rain")),
        request(3, "thumbs_down", text=text.title() + "!!"),
    ]
    found = draw(pool(feedback=votes), budget=20)
    assert len(found.items) == 1
    assert found.left_out == {"near_duplicate": 2}


def test_texts_are_redacted_before_anything_leaves() -> None:
    votes = [request(1, "thumbs_down", text=f"{words(1)} write to mai@example.org")]
    (item,) = draw(pool(feedback=votes), budget=5).items
    assert item.text.endswith("write to [EMAIL]")


def test_a_golden_text_that_redaction_would_change_is_not_shown() -> None:
    case = golden_case(1, text=f"{words(1)} mai@example.org")
    found = draw(pool(golden=[case], doubts={"disagreement": (case.id,)}), budget=5)
    assert found.items == ()
    assert found.left_out == {"unsafe_golden": 1}
