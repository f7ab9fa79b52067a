"""Near-duplicates of many texts: the same ones that the small search finds."""

import json
import random
import time

from assay.near_duplicates import find_duplicates, words_key
from assay.relabelling.similar_texts import near_pairs
from assay.relabelling.sketches import read_sketch, salt_id, write_sketch
from assay.relabelling.training import TrainingSketch, TrainingText
from tests.relabel_rig import SALT

CHANCE = random.Random(0)
WORDS = ["".join(CHANCE.choices("aeioulmnrstbcdgk", k=CHANCE.randint(3, 8))) for _ in range(3000)]


def sentences(count: int) -> list[str]:
    return [" ".join(CHANCE.choices(WORDS, k=CHANCE.randint(6, 14))) for _ in range(count)]


def slightly_changed(text: str) -> str:
    at = CHANCE.randrange(len(text))
    return text[:at] + "x" + text[at + 1 :]


def test_it_finds_what_the_small_search_finds() -> None:
    texts = sentences(400)
    texts += [slightly_changed(text) for text in texts[:60]]
    keys = list(dict.fromkeys(map(words_key, texts)))
    small = find_duplicates({str(n): key for n, key in enumerate(keys)})
    assert len(small) >= 50
    assert set(near_pairs(keys)) == {(int(hit.first), int(hit.second)) for hit in small}


def test_short_texts_and_one_text_have_no_near_duplicates() -> None:
    assert near_pairs(["get out now", "got out now"]) == []
    assert near_pairs(["a text that stands alone here"]) == []


def test_pairs_among_what_is_known_already_are_not_looked_for() -> None:
    keys = ["the train was late again today", "the train was late again todey", "a wholly new line"]
    assert near_pairs(keys) == [(0, 1)]
    assert near_pairs(keys, first_new=2) == []


def test_a_crowd_of_like_texts_costs_no_square() -> None:
    keys = [f"your order number {n:06} has been sent to you by the usual way" for n in range(20000)]
    began = time.process_time()
    pairs = near_pairs(keys)
    assert time.process_time() - began < 30
    assert {high for _, high in pairs} == set(range(1, 20000))


def test_training_text_and_its_sketch_tell_the_same_leaks() -> None:
    trained = sentences(300)
    asked = [*trained[:20], *(slightly_changed(text) for text in trained[20:60]), *sentences(200)]
    folded = [words_key(text) for text in asked]
    open_text = TrainingText("train.jsonl", trained).seen(folded)
    assert [hit is not None for hit in open_text] == [True] * 60 + [False] * 200
    rows = list(write_sketch(trained, SALT))
    assert rows[0] == {"sketch": 1, "salt_id": salt_id(SALT), "rows": 300}
    lines = [json.dumps(row) for row in rows]
    assert not any(text[:12] in "".join(lines) for text in trained)
    sketch = TrainingSketch("s", read_sketch(lines, "s", SALT), SALT, 0.6)
    seen = [hit is not None for hit in sketch.seen(folded)]
    assert seen[:20] == [True] * 20
    assert sum(seen[20:60]) >= 38
    assert not any(seen[60:])
