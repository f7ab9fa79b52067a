"""The OpenAI chat protocol as the gate speaks it: request bodies, answers, reasons for no answer.

Decides what is sent for a question and what counts as an answer; leaves sockets to the transports
and retries to `chat_driver`. A server is not trusted: answers are bounded in size and validated.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.ports import Question

TOP_LOGPROBS = 20
"""As many as vLLM reports without being told to report more."""

MAX_ANSWER_BYTES = 1 << 20
"""More than this is not an answer to a question of at most a few thousand tokens."""

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
REFUSED_STATUSES = frozenset({401, 403, 404})
"""The server understood and refuses: asking anything else of it would be refused too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer: the engine's words, its token counts, and the time by the caller's clock.

    `first_token` maps the likeliest first tokens to natural-log probabilities, where asked for.
    """

    words: str
    prompt_tokens: int | None
    completion_tokens: int | None
    e2e_ms: float
    first_token: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A streamed answer's times and token counts; `ttft_ms` is None when it held no token.

    `gaps_ms` are the times between one piece of the words and the next, in order.
    """

    ttft_ms: float | None
    e2e_ms: float
    prompt_tokens: int | None
    completion_tokens: int | None
    gaps_ms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no answer.

    Args:
        kind: `connection`, `timeout`, `broken` (cut off), `garbage` (not the protocol) or
            `http_<status>`; safe to log.
        status: the HTTP status, where there was one.
        retry_after_s: how long the server asked to be left alone, where it gave seconds (a date
            would have to be read by a clock that may be wrong).
        ttft_ms: when the first word came, of an answer that failed later.
    """

    kind: str
    status: int | None = None
    retry_after_s: float | None = None
    ttft_ms: float | None = None

    @property
    def unheard(self) -> bool:
        """True when nothing shows that a server is there at all."""
        return self.kind in ("connection", "timeout")

    @property
    def retried(self) -> bool:
        """True when the same question may well be answered a moment later."""
        return self.unheard or self.kind == "broken" or self.status in RETRIED_STATUSES

    @property
    def refused(self) -> bool:
        """True when the server refuses the gate itself: wrong key, wrong model or wrong address."""
        return self.status in REFUSED_STATUSES


def http_failure(status: int, retry_after: str | None = None) -> Failure:
    """Returns the failure an HTTP status other than 200 stands for.

    Args:
        status: of the answer.
        retry_after: the header of that name, where there was one.
    """
    seconds = retry_after.strip() if retry_after else ""
    plain = seconds.isascii() and seconds.isdigit() and len(seconds) <= 7
    return Failure(
        kind=f"http_{status}", status=status, retry_after_s=float(seconds) if plain else None
    )


def request_body(question: Question, model: str, *, stream: bool) -> dict[str, Any]:
    """Returns the JSON body of a chat completion.

    `structured_outputs` is vLLM's own field: other engines, and a misspelt name, ignore it in
    silence, which is why `assay.asking` checks that answers really are constrained.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": list(question.messages),
        "temperature": question.decoding.temperature,
        "max_tokens": question.decoding.max_tokens,
        "seed": question.decoding.seed,
    }
    if question.choices is not None:
        body["structured_outputs"] = {"choice": list(question.choices)}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def logprobs_body(question: Question, model: str) -> dict[str, Any]:
    """Returns the body that asks for the first token's log-probabilities.

    It is not constrained: a grammar's mask is applied before the engine takes log-probabilities,
    and would make them those of another distribution.
    """
    body = request_body(question, model, stream=False)
    body.pop("structured_outputs", None)
    return body | {"max_tokens": 1, "logprobs": True, "top_logprobs": TOP_LOGPROBS}


def label_logprobs(
    first_token: Mapping[str, float] | None, labels: Sequence[str]
) -> dict[str, float] | None:
    """Returns each label's log-probability, read from the likeliest first tokens.

    A token speaks for the one label it begins; what begins several labels speaks for none. None
    when any label is left without a value: a label outside the reported tokens is not impossible.
    """
    shares: dict[str, list[float]] = {}
    for token, value in (first_token or {}).items():
        start = token.strip().casefold()
        begun = [label for label in labels if start and label.casefold().startswith(start)]
        if len(begun) == 1 and math.isfinite(value):
            shares.setdefault(begun[0], []).append(value)
    if len(shares) != len(labels):
        return None
    return {label: _log_sum(shares[label]) for label in labels}


def _log_sum(values: Sequence[float]) -> float:
    largest = max(values)
    return largest + math.log(sum(math.exp(value - largest) for value in values))


def request_id(run_id: str, call: str, case_id: str, attempt: int) -> str:
    """Returns a request's id: unique, and traceable by whoever holds the run and the case's id.

    `call` tells one call of the client from the next, so that a resumed run repeats no id.
    """
    case = hashlib.sha256(case_id.encode()).hexdigest()[:16]
    return f"{run_id}-{call}-{case}-{attempt}"


class _Incoming(BaseModel):
    """Part of a server's answer; what the gate does not use is ignored, unlike in our own files."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Usage(_Incoming):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class _Message(_Incoming):
    content: str | None = None


class _TokenLogprob(_Incoming):
    token: str
    logprob: float


class _Position(_Incoming):
    top_logprobs: tuple[_TokenLogprob, ...] = ()


class _Logprobs(_Incoming):
    content: tuple[_Position, ...] | None = None


class _Choice(_Incoming):
    message: _Message
    logprobs: _Logprobs | None = None

    @property
    def first_token(self) -> dict[str, float] | None:
        positions = self.logprobs.content if self.logprobs else None
        return {t.token: t.logprob for t in positions[0].top_logprobs} if positions else None


class _Completion(_Incoming):
    choices: tuple[_Choice, ...] = Field(min_length=1)
    usage: _Usage | None = None


class _Delta(_Incoming):
    content: str | None = None


class _ChunkChoice(_Incoming):
    delta: _Delta = _Delta()


class Chunk(_Incoming):
    """One event of a streamed answer."""

    choices: tuple[_ChunkChoice, ...] = ()
    usage: _Usage | None = None
    error: Any = None

    @property
    def words(self) -> str:
        """The words this event adds; empty for the opening and closing events."""
        return "".join(choice.delta.content or "" for choice in self.choices)


def read_completion(body: bytes, e2e_ms: float) -> Reply | Failure:
    """Reads a whole answer. A completion without content is a model that said nothing: ""."""
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        return Failure(kind="garbage")
    usage = completion.usage
    choice = completion.choices[0]
    return Reply(
        words=choice.message.content or "",
        first_token=choice.first_token,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        e2e_ms=e2e_ms,
    )


def read_chunk(data: bytes) -> Chunk | None:
    """Reads one event of a stream, or None when it is not the protocol."""
    try:
        return Chunk.model_validate_json(data)
    except ValidationError:
        return None
