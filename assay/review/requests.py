"""What production did: requests, and the signals that were raised about them.

Decides what a line of a feedback or traffic file must hold, and joins the lines of one request.
Reading files is left to the adapters, drawing to `selection`. One wrong line never costs the
others: it is rejected with the reason, and counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from assay.documents import Document, Identifier, quoted, validate
from assay.errors import ConfigError
from assay.review.policy import LOW_CONFIDENCE, ReviewPolicy

Language = Annotated[str, Field(min_length=2, max_length=35)]


class RequestRow(Document):
    """One line of a feedback or traffic file, as it enters.

    `label` is what the model answered, null where it named none. `signal` is null for traffic about
    which nobody said anything. `confidence` is the model's own, of its label.
    """

    request_id: Identifier
    text: str = Field(min_length=1)
    label: str | None
    signal: Identifier | None = None
    time: datetime
    lang: Language | None = None
    source: Identifier | None = None
    model_version: Identifier | None = None
    confidence: Annotated[float, Field(ge=0.0, le=1.0)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One text that production was asked about; `signals` in the order of their names."""

    id: str
    text: str
    label: str | None
    signals: tuple[str, ...]
    at: datetime
    lang: str | None = None
    source: str | None = None
    model_version: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A line that was not used, and why."""

    where: str
    why: str


Line = tuple[str, Mapping[str, Any] | Rejected]
"""Where a line stands, and its fields (or why they cannot be read)."""


def join_requests(
    lines: Iterable[Line], *, labels: Sequence[str], policy: ReviewPolicy, signalled: bool
) -> tuple[tuple[Request, ...], tuple[Rejected, ...]]:
    """Returns the requests in the order of their ids, and the lines that were rejected.

    Args:
        lines: of one or several files.
        labels: the task's.
        policy: which signals there are.
        signalled: whether a line without a signal is wrong (feedback), or usual (traffic).
    """
    joined: dict[str, Request] = {}
    rejected: list[Rejected] = []
    for where, fields in lines:
        try:
            if isinstance(fields, Rejected):
                raise ConfigError(fields.why)
            found = _request(fields, where, labels, policy, signalled=signalled)
            joined[found.id] = _join(joined.get(found.id), found, where)
        except ConfigError as error:
            rejected.append(Rejected(where=where, why=str(error).removeprefix(f"{where}: ")))
    return tuple(joined[key] for key in sorted(joined)), tuple(rejected)


def _request(
    fields: Mapping[str, Any],
    where: str,
    labels: Sequence[str],
    policy: ReviewPolicy,
    *,
    signalled: bool,
) -> Request:
    row = validate(fields, RequestRow, where)
    if row.label is not None and row.label not in labels:
        raise ConfigError(
            f"label {quoted(row.label)}; expected one of {', '.join(map(repr, labels))}, or null"
        )
    if row.signal is not None and row.signal not in policy.signals:
        raise ConfigError(
            f"signal {quoted(row.signal)}; expected one of "
            f"{', '.join(map(repr, sorted(policy.signals)))}; correct it, or name it under "
            "`signals` of the review policy"
        )
    signals = {row.signal} if row.signal else set()
    bound = policy.low_confidence_below
    if bound is not None and row.confidence is not None and row.confidence < bound:
        signals.add(LOW_CONFIDENCE)
    if signalled and not signals:
        raise ConfigError("no signal; give feedback a signal, or hand the file over as traffic")
    plain = row.model_dump(exclude={"request_id", "signal", "time"})
    at = row.time if row.time.tzinfo else row.time.replace(tzinfo=UTC)
    return Request(id=row.request_id, signals=tuple(sorted(signals)), at=at, **plain)


def _join(known: Request | None, found: Request, where: str) -> Request:
    if known is None:
        return found
    if (known.text, known.label) != (found.text, found.label):
        raise ConfigError(
            f"request {quoted(found.id)} was given before with another text or label; expected one "
            "request under one id; correct the ids"
        )
    return replace(known, signals=tuple(sorted({*known.signals, *found.signals})))


def united(feedback: Sequence[Request], traffic: Sequence[Request]) -> tuple[Request, ...]:
    """Returns every request once, with the signals of both files, in the order of ids.

    A request whose text differs between the two keeps the traffic's.
    """
    by_id = {request.id: request for request in traffic}
    for request in feedback:
        known = by_id.get(request.id, request)
        signals = tuple(sorted({*known.signals, *request.signals}))
        by_id[request.id] = replace(known, signals=signals)
    return tuple(by_id[key] for key in sorted(by_id))
