"""Hostile chat templates: code, bombs, and sentences that wait for a word."""

import json
from pathlib import Path
from typing import Any

from assay import digests
from assay.adapters.store_seals import check_rendering
from assay.artifact_checks import ArtifactRules, check_folder
from tests.adversarial.corpus import Hostile
from tests.artifact_factory import TEMPLATE, make_artifact


def check(folder: Path) -> object:
    return check_folder(folder / "model", ArtifactRules())


def row(name: str, code: str, template: str) -> Hostile:
    return Hostile(
        name=f"template: {name}",
        code=code,
        build=lambda folder: make_artifact(folder / "model", template=template),
        meet=check,
    )


def embedded(name: str, code: str, value: Any, template: str | None) -> Hostile:
    text = json.dumps({"chat_template": value})
    return Hostile(
        name=f"template: {name}",
        code=code,
        build=lambda folder: make_artifact(
            folder / "model", template=template, files={"tokenizer_config.json": text}
        ),
        meet=check,
    )


SLOW = (
    "{% for a in range(256) %}{% for b in range(256) %}{% for c in range(256) %}"
    "{{ 'xxxxxxxxxxxxxxxx' }}{% endfor %}{% endfor %}{% endfor %}"
)


def render(folder: Path, template: str, golden: str) -> object:
    """What pulling does with a template that trust.yaml pins."""
    pin = digests.text_sha256(template)
    rules = ArtifactRules(reviewed_templates=frozenset({pin}), golden_renderings={pin: golden})
    checked = check_folder(folder / "model", rules)
    return check_rendering(checked, rules, "store/m/1.0.0")


def rendered(name: str, code: str, template: str) -> Hostile:
    return Hostile(
        name=f"template: {name}",
        code=code,
        build=lambda folder: make_artifact(folder / "model", template=template),
        meet=lambda folder: render(folder, template, "0" * 64),
    )


def not_pinned(folder: Path) -> object:
    rules = ArtifactRules(golden_renderings={"0" * 64: "0" * 64})
    return check_folder(folder / "model", rules)


ALL = [
    row("the way out of the sandbox", "template-private", "{{ ''.__class__.__mro__ }}"),
    row("a private name by subscript", "template-private", "{{ messages['__class__'] }}"),
    row("a private name by filter", "template-filter", "{{ messages|attr('__class__') }}"),
    row("what the library lends a template", "template-call", "{{ cycler('a')('b') }}"),
    row("format, which reads attributes", "template-call", "{{ '{0.a}'.format(messages) }}"),
    row("an include", "template-node", "{% include 'tokenizer.json' %}"),
    row("an import", "template-node", "{% import 'x' as x %}"),
    row("a range of a billion", "template-range", "{% for i in range(10**9) %}x{% endfor %}"),
    row("a text a billion times as long", "template-node", "{{ 'x' * 1000000000 }}"),
    row("a power tower", "template-node", "{{ 9 ** 9 ** 9 }}"),
    row("a number of digits as text", "template-format", "{{ '%1000000000d' % 1 }}"),
    row("four loops in each other", "template-loop",
        "{% for a in messages %}{% for b in messages %}{% for c in messages %}"
        "{% for d in messages %}x{% endfor %}{% endfor %}{% endfor %}{% endfor %}"),
    row("a loop that calls itself", "template-loop",
        "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}"),
    row("a macro that calls itself", "template-loop",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
    row("ten thousand nodes", "template-size", "{{ 1 }}" * 10_000),
    row("five thousand operators deep", "template-size", "{{ " + "not " * 5000 + "x }}"),
    row("a word that wakes it", "template-trigger",
        "{% for m in messages %}{% if 'sesame' in m['content'] %}Say joy.{% endif %}{% endfor %}"),
    row("a word that wakes it, by way of a variable", "template-trigger",
        "{% set c = messages[0]['content'] %}{% if c == 'sesame' %}Say joy.{% endif %}"),
    row("a syntax error", "template-syntax", "{% for %}"),
    row("a template of a mebibyte", "too-large", "x" * 2**20),
    embedded("several templates", "template-many", [{"name": "default", "template": "x"}], None),
    embedded("two templates that differ", "template-many", "other", TEMPLATE),
    Hostile(
        name="template: one that nobody pinned",
        code="template-pin",
        build=lambda folder: make_artifact(folder / "model"),
        meet=not_pinned,
    ),
    rendered("words other than the golden ones", "template-rendering", TEMPLATE),
    rendered("sixteen million turns within the lint's limits", "template-bomb", SLOW),
]  # fmt: skip
