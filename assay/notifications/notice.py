"""A notice: what happened to a release or to the golden set, for whoever was not there.

Decides what a notice holds; which words it becomes is `rendering`'s. No field may hold a case's
text: summaries, reasons and next steps are the gate's own sentences, which never quote one.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Event = Literal[
    "promoted",
    "not_promoted",
    "blocked",
    "inconclusive",
    "invalid",
    "rolled_back",
    "golden_degraded",
]
EVENTS: tuple[Event, ...] = get_args(Event)

_HEADLINES: dict[Event, str] = {
    "promoted": "{what} is in production",
    "not_promoted": "{what} passed, and production did not move",
    "blocked": "{what} is blocked",
    "inconclusive": "{what} is not shown either way",
    "invalid": "{what} could not be measured",
    "rolled_back": "production moved back to {what}",
    "golden_degraded": "{what} fails a check that it did not fail before",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that happened.

    Args:
        id: of this notice; a receiver that has seen it may drop it.
        event: what happened.
        at: when, ISO 8601, UTC.
        model, version: of what; None for the golden set, and where no version was verified.
        summary: one sentence.
        details: further sentences: what became of the alias, which checks broke.
        next_steps: what to do next.
        run_id: the gate or move; None for the golden set.
        report: where the report lies on the machine that judged; None where there is none.
        who: the person or service that asked for it.
        test: whether nothing happened, and somebody tries the channels.
    """

    id: str
    event: Event
    at: str
    model: str | None
    version: str | None
    summary: str
    details: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    run_id: str | None = None
    report: str | None = None
    who: str | None = None
    test: bool = False

    @property
    def headline(self) -> str:
        """What happened, in a few words."""
        what = " ".join(word for word in (self.model, self.version) if word)
        said = _HEADLINES[self.event].format(what=what or "the golden set")
        return f"test: {said}" if self.test else said

    def to_json(self) -> dict[str, Any]:
        """Returns the document that webhooks receive."""
        return {"schema_version": 1, "headline": self.headline, **asdict(self)}
