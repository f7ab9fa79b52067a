"""What the model is asked and how its answer is read (`task.yaml`).

Decides the messages of a question and the label of an answer; leaves sending them to the client
and judging them to the evaluators.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from assay import digests
from assay.documents import Document, read_yaml
from assay.records import INVALID_LABEL, AnswerStatus


class Message(Document):
    """One chat message; `{text}` and `{labels}` are filled in per case."""

    role: Literal["system", "user", "assistant"]
    content: str


class Decoding(Document):
    """How the engine samples. `constrained` limits the answer to exactly one label."""

    mode: Literal["constrained", "free"]
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    max_tokens: int = Field(default=8, ge=1, le=4096)
    seed: int = 0


class AnswerReading(Document):
    """How the model's words become a label."""

    strip: str = " \t\r\n"
    ignore_case: bool = True


class Task(Document):
    """The whole of `task.yaml`."""

    schema_version: Literal[1]
    name: str = Field(min_length=1)
    labels: tuple[str, ...] = Field(min_length=2)
    messages: tuple[Message, ...] = Field(min_length=1)
    decoding: Decoding
    answer: AnswerReading = AnswerReading()
    probe_decoding: Decoding = Decoding(mode="free", max_tokens=48)
    readiness_text: str = Field(min_length=1)

    @field_validator("labels")
    @classmethod
    def _labels_are_usable(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len({label.casefold() for label in labels}) != len(labels):
            raise ValueError("labels must differ, also when case is ignored")
        if any(label != label.strip() or not label for label in labels):
            raise ValueError("labels must not be empty or have spaces around them")
        if not all(label.isprintable() for label in labels):
            raise ValueError("labels must not hold control characters")
        if INVALID_LABEL in labels or "macro" in labels:
            raise ValueError(f"{INVALID_LABEL!r} and 'macro' are reserved and cannot be labels")
        return labels

    @model_validator(mode="after")
    def _text_is_asked(self) -> Self:
        if sum(message.content.count("{text}") for message in self.messages) != 1:
            raise ValueError("messages must contain {text} exactly once")
        if any(message.content.count("{labels}") > 1 for message in self.messages):
            raise ValueError("a message may contain {labels} once at most")
        return self

    @property
    def digest(self) -> str:
        """Digest of the task's canonical form; comments and layout do not change it."""
        return digests.of_json(self.model_dump(mode="json"))

    def render(self, text: str) -> list[dict[str, str]]:
        """Returns the chat messages that ask about `text`.

        Only the template's own placeholders are filled in: braces inside `text` stay as they are.
        """
        labels = ", ".join(self.labels)
        rendered = []
        for message in self.messages:
            before, found, after = message.content.partition("{text}")
            content = before.replace("{labels}", labels)
            if found:
                content += text + after.replace("{labels}", labels)
            rendered.append({"role": message.role, "content": content})
        return rendered

    def read(self, words: str) -> "Reading":
        """Reads the model's words as a label, or as invalid. Never guesses."""
        answer = words.strip(self.answer.strip)
        for label in self.labels:
            same = answer.casefold() == label.casefold() if self.answer.ignore_case else False
            if same or answer == label:
                return Reading(label=label, status=AnswerStatus.OK)
        return Reading(label=None, status=AnswerStatus.INVALID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A label read from words: `label` is None exactly when `status` is invalid."""

    label: str | None
    status: AnswerStatus


def load_task(path: Path) -> Task:
    """Reads and validates `task.yaml`.

    Raises:
        ConfigError: names the file, the field, what was found and what was expected.
    """
    return read_yaml(path, Task)
