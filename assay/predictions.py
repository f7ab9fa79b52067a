"""Predictions files: one JSON object a line, appended as answers arrive, resumable after a kill.

Decides how a prediction is stored and read back; leaves asking to the client and counting to the
evaluators. A last line cut short by a kill or a full disk is dropped on resume, never repaired.
"""

import json
import math
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from assay.documents import Document, Identifier, read_jsonl
from assay.errors import ConfigError, InfrastructureError
from assay.records import AnswerStatus, LatencySample, Prediction

Milliseconds = Annotated[float, Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True, ge=0, le=2**53 - 1)]
"""As many as JSON carries exactly. Strict: `true` tokens or `"12"` ms were not measured."""

Place = tuple[str, int]
"""Case id and repeat."""


class PredictionRow(Document):
    """One line of a predictions file, as it enters."""

    case_id: Identifier
    label: Annotated[str, Field(max_length=200)] | None
    status: AnswerStatus
    raw: str | None
    label_logprobs: dict[str, Annotated[float, Field(strict=True)]] | None = None
    ttft_ms: Milliseconds | None = None
    e2e_ms: Milliseconds | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    attempts: Count = 1
    request_id: str = ""
    error_kind: Annotated[str, Field(pattern="^[a-z0-9_]{1,40}$")] | None = None
    repeat: Annotated[int, Field(strict=True, ge=0, le=999)] = 0

    @model_validator(mode="after")
    def _status_and_label_agree(self) -> Self:
        if self.label is not None and self.status is not AnswerStatus.OK:
            raise ValueError(f"status {self.status.value!r} goes with label null")
        if self.error_kind is not None and self.status is not AnswerStatus.ERROR:
            raise ValueError("error_kind goes with status 'error'")
        if self.status is AnswerStatus.OK and self.label is None and self.raw is None:
            raise ValueError("status 'ok' needs a label or the model's words")
        return self


class LatencyRow(Document):
    """One line of a latency file, as it enters."""

    block: Count
    case_id: Identifier
    started_s: Annotated[float, Field(strict=True, ge=0)]
    status: AnswerStatus
    error_kind: str | None = None
    ttft_ms: Milliseconds | None = None
    e2e_ms: Milliseconds | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    request_id: str = ""
    intended_s: Annotated[float, Field(strict=True, ge=0)] | None = None


def to_json(record: Prediction | LatencySample) -> dict[str, Any]:
    """Returns a record as a JSON object, fields in the contract's order."""
    row = {name: _plain(getattr(record, name)) for name in record.__slots__}
    if isinstance(record, Prediction):
        # Nearly all lines are first answers: they are written without what only others have.
        for name, usual in (("error_kind", None), ("repeat", 0)):
            if row[name] == usual:
                del row[name]
    elif row["intended_s"] is None:
        del row["intended_s"]
    return row


def place(prediction: Prediction) -> Place:
    """Returns which question a prediction answers: its case, and the how-manieth time."""
    return prediction.case_id, prediction.repeat


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def read_predictions(path: Path) -> tuple[Prediction, ...]:
    """Reads a predictions file, in the file's order.

    Duplicates and unknown ids are kept: whether they matter is the judgement's to say.

    Raises:
        ConfigError: the file cannot be read or a line is not a prediction.
    """
    return tuple(Prediction(**row.model_dump()) for _, row in read_jsonl(path, PredictionRow))


def read_latency(path: Path) -> tuple[LatencySample, ...]:
    """Reads a latency file, in the file's order.

    Raises:
        ConfigError: the file cannot be read or a line is not a latency sample.
    """
    return tuple(LatencySample(**row.model_dump()) for _, row in read_jsonl(path, LatencyRow))


class AnswerFile:
    """An append-only file of predictions; use as a context manager.

    Opening it reads what an earlier, killed run has paid for (`done`), cuts off a torn last line,
    and appends after it. Every line is handed to the operating system before `append` returns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[Place, Prediction] = {}
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._recover()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def append(self, prediction: Prediction) -> None:
        """Stores one answer.

        Raises:
            InfrastructureError: the disk is full or the file cannot be written; the file still ends
                with a whole line.
        """
        if self._descriptor is None:
            raise ConfigError(f"{self.path}: not open; use AnswerFile as a context manager")
        line = (json.dumps(to_json(prediction), ensure_ascii=False) + "\n").encode()
        before = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(28, "No space left on device")
        except OSError as error:
            os.ftruncate(self._descriptor, before)
            raise InfrastructureError(
                f"{self.path}: an answer cannot be written ({error.strerror}); free some space and "
                "run the same command again: the answers stored so far are kept"
            ) from error
        self.done[place(prediction)] = prediction

    def _recover(self) -> None:
        text = self.path.read_bytes()
        end = text.rfind(b"\n") + 1
        if end != len(text) and self._descriptor is not None:
            os.ftruncate(self._descriptor, end)
        for prediction in read_predictions(self.path):
            if prediction.status is not AnswerStatus.ERROR:
                self.done[place(prediction)] = prediction


def final_answers(predictions: Collection[Prediction]) -> tuple[Prediction, ...]:
    """Drops an `error` line that a later line for the same question has overtaken (a resumed run).

    Args:
        predictions: of one model.
    """
    answered = {place(p) for p in predictions if p.status is not AnswerStatus.ERROR}
    last_error = {place(p): p for p in predictions if p.status is AnswerStatus.ERROR}
    return tuple(
        p
        for p in predictions
        if p.status is not AnswerStatus.ERROR
        or (place(p) not in answered and last_error[place(p)] is p)
    )


def write_latency(path: Path, samples: Iterable[LatencySample]) -> None:
    """Writes a latency file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as stream:
        for sample in samples:
            stream.write(json.dumps(to_json(sample), ensure_ascii=False) + "\n")
    partial.replace(path)


def finite_logprobs(prediction: Prediction) -> Mapping[str, float] | None:
    """Returns the label log-probabilities, or None when missing or not all finite."""
    logprobs = prediction.label_logprobs
    if not logprobs or not all(math.isfinite(value) for value in logprobs.values()):
        return None
    return logprobs
