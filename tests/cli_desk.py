"""A folder of files as somebody else would hand them to the command line."""

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LABELS = ("joy", "anger", "fear")
SECRET = "the-cat-of-aunt-Mai-is-called-Quill"
"""Part of every case's text and of every answer's words: no message may quote it."""

TASK = """
schema_version: 1
name: emotion
labels: [joy, anger, fear]
messages: [{role: user, content: "{text}"}]
decoding: {mode: constrained, max_tokens: 4}
readiness_text: hello
"""
POLICY = """
schema_version: 1
first_release: refuse
replicates: 999
evaluators:
  emotion_f1: {margin: 0.1, macro_margin: 0.05, floor: 0.3, macro_floor: 0.4}
  validity: {max_invalid_rate: 0.05}
"""
SERVING = """
schema_version: 1
profiles:
  cpu: {image: "assay/vllm-cpu:0.32.0", limits: {memory_gib: 1}, request_timeout_s: 5}
"""
Row = dict[str, Any]


def _words(number: int) -> str:
    """Words that no other case has: a golden set may not hold a text twice."""
    chance = random.Random(number)
    return " ".join("".join(chance.choices("aeioulmnrst", k=6)) for _ in range(8))


def golden_rows(each: int) -> list[Row]:
    """As many cases of every label, in the order of their ids."""
    return [
        {
            "id": f"c-{number:04}",
            "text": f"{SECRET} {_words(number)}",
            "label": label,
            "lang": "en" if number % 2 else "vi",
            "source": "handwritten",
            "stratum": "core",
            "slices": [],
            "added_in": "1.0.0",
        }
        for number, label in enumerate(label for label in LABELS for _ in range(each))
    ]


def answer(case_id: str, label: str | None, **changes: Any) -> Row:
    """One line of a predictions file."""
    row: Row = {
        "case_id": case_id,
        "label": label,
        "status": "invalid" if label is None else "ok",
        "raw": f"{SECRET} {label}",
    }
    return row | changes


def to_jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as the lines of a file."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


@dataclass(slots=True)
class Desk:
    """The files, and the rows that they were written from."""

    folder: Path
    cases: list[Row] = field(default_factory=list)

    def write(self, name: str, content: bytes | str | Iterable[Mapping[str, Any]]) -> Path:
        """Writes a file: bytes, text, or rows as JSONL."""
        path = self.folder / name
        if isinstance(content, str):
            content = content.encode()
        path.write_bytes(content if isinstance(content, bytes) else to_jsonl(content))
        return path

    def answers(self, *, accuracy: float = 0.9, seed: int = 0, **wrong: str | None) -> list[Row]:
        """Answers that are right that often; `joy="anger"` makes every joy an anger."""
        chance = random.Random(seed)
        rows = []
        for case in self.cases:
            guess: str | None = case["label"]
            if case["label"] in wrong:
                guess = wrong[case["label"]]
            elif chance.random() > accuracy:
                guess = chance.choice(LABELS)
            rows.append(answer(case["id"], guess))
        return rows

    def judge(self, *more: str | Path) -> list[str | Path]:
        """The command that judges the folder's files, with `more` in the end."""
        return [
            "judge", "--golden", "golden.jsonl", "--candidate", "candidate.jsonl",
            "--production", "production.jsonl", "--policy", "policy.yaml", *more,
        ]  # fmt: skip


def make_desk(folder: Path, *, each: int = 100) -> Desk:
    """Returns a desk whose candidate answers as well as its production."""
    desk = Desk(folder, golden_rows(each))
    for name, text in (("task", TASK), ("policy", POLICY), ("serving", SERVING)):
        desk.write(f"{name}.yaml", text)
    desk.write("golden.jsonl", desk.cases)
    desk.write("production.jsonl", desk.answers(seed=1))
    desk.write("candidate.jsonl", desk.answers(seed=1))
    return desk
