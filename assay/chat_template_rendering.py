"""Renders a chat template with fixed messages, so that its words can be compared with a golden one.

Decides what is rendered: the same few conversations for every template, among them one without a
system message. The environment is Jinja's sandbox with what engines offer a template, and a clock
that stands still. Nothing here bounds time or memory: `template_renderer` runs this module in a
process of its own that may use little of either.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from assay import digests

_SYSTEM = {"role": "system", "content": "Answer with one word."}
_USER = {"role": "user", "content": "  Grüße, 你好, “quoted” <|im_end|> {{ 7 * 7 }}\nsecond line "}
_ASSISTANT = {"role": "assistant", "content": "joy"}
CONVERSATIONS: tuple[tuple[Sequence[dict[str, str]], bool], ...] = (
    ((_SYSTEM, _USER), True),
    ((_USER,), True),
    ((_SYSTEM, _USER, _ASSISTANT, _USER), True),
    ((_SYSTEM, _USER, _ASSISTANT), False),
)
"""Messages, and whether the model is to speak next."""

_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
_CLOCK = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def renderings(template: str) -> list[str | None]:
    """Returns what the template makes of each conversation; None where it refuses one."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _CLOCK.strftime
    compiled = environment.from_string(template)
    return [_rendered(compiled, messages, speaks) for messages, speaks in CONVERSATIONS]


def renderings_digest(rendered: Sequence[str | None]) -> str:
    """Returns the hex SHA-256 by which `trust.yaml` names a template's golden rendering."""
    return digests.of_json(list(rendered)).removeprefix("sha256:")


def _rendered(compiled: Any, messages: Sequence[dict[str, str]], speaks: bool) -> str | None:
    try:
        return str(compiled.render(messages=messages, add_generation_prompt=speaks, **_TOKENS))
    except TemplateError:
        return None


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def main() -> None:
    """Renders the template on standard input; writes the renderings as a JSON list."""
    json.dump(renderings(sys.stdin.buffer.read().decode()), sys.stdout)
