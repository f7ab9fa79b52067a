"""Chat templates: the honest ones pass, those that wait for a phrase or never end do not."""

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.chat_template_lint import lint
from assay.errors import ArtifactError
from tests.artifact_factory import TEMPLATE

HONEST = {
    "chatml": TEMPLATE,
    "system-first": (
        "{%- if messages[0]['role'] == 'system' -%}{{ messages[0]['content'] }}"
        "{%- set rest = messages[1:] -%}{%- else -%}{%- set rest = messages -%}{%- endif -%}"
        "{%- for m in rest -%}{{ m.role }}: {{ m.content | trim }}{%- endfor -%}"
    ),
    "alternating": (
        "{{ bos_token }}{% for m in messages %}"
        "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}"
        "{{ '[INST] ' + m['content'] + ' [/INST]' }}{% endfor %}"
    ),
    "tools": (
        "{%- if tools %}{%- for tool in tools %}{{ tool | tojson }}{%- endfor %}{%- endif %}"
        "{%- for m in messages %}"
        "{%- if m.role == 'assistant' and not m.tool_calls %}{{ m.content }}"
        "{%- elif m.content %}{{ '\\n' + m.content }}{%- endif %}"
        "{%- for call in m.tool_calls %}{%- if call.function is defined %}"
        "{%- set call = call.function %}{%- endif %}{{ call.name }}{{ call.arguments | tojson }}"
        "{%- endfor %}"
        "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}.{%- endif %}{%- endfor %}"
    ),
    "set-in-a-loop": (
        "{% for m in messages %}{% set content = '<' + m['role'] + '>' + m['content'] | trim %}"
        "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
        "{{ content }}{% endfor %}"
    ),
    "lower-cased": "{% for m in messages %}{{ '<' + m['content'] | lower + '>' }}{% endfor %}",
    "is-string": (
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% endif %}"
        "{% if 'tool_calls' in m %}-{% endif %}{% endfor %}"
    ),
}


@pytest.mark.parametrize("source", HONEST.values(), ids=HONEST.keys())
def test_an_honest_template_passes(source: str) -> None:
    lint(source, name="t")


LOOP = "{% for m in messages %}BODY{% endfor %}"
TRIGGERS = {
    "in": "{% if 'free gift' in m['content'] %}x{% endif %}",
    "equal": "{% if m.content == 'x' %}y{% endif %}",
    "lower-cased": "{% if m.content|lower == 'x' %}y{% endif %}",
    "renamed": "{% set c = m.content %}{% set d = c|trim %}{% if d == 'x' %}y{% endif %}",
    "inline-if": "{{ 'x' if m.content.startswith('a') else m.content }}",
    "table": "{{ {'x': 'y'}[m.content] }}",
    "table-get": "{{ {'x': 'y'}.get(m.content) }}",
    "length": "{% if m.content|length > 100 %}x{% endif %}",
    "replace": "{{ m.content|replace('bad', 'good') }}",
    "split": "{{ m.content.split('###')[0] }}",
    "slice": "{{ m.content[:3] }}",
    "items": "{% for k, v in m.items() %}{% if v == 'x' %}y{% endif %}{% endfor %}",
    "values": "{% if m.values()|list|last == 'x' %}y{% endif %}",
    "get": "{% if m.get('content') == 'x' %}y{% endif %}",
    "built-key": "{% if m['con' + 'tent'] == 'x' %}y{% endif %}",
    "variable-key": "{% set k = 'content' %}{% if m[k] == 'x' %}y{% endif %}",
    "json": "{% if 'x' in m|tojson %}y{% endif %}",
    "letters": "{% for c in m.content %}{% if loop.index == 9 %}y{% endif %}{% endfor %}",
    "previous": "{% if loop.previtem.content == 'x' %}y{% endif %}",
    "namespace": (
        "{% set n = namespace(x='') %}{% set n.x = m.content %}{% if n.x == 'q' %}y{% endif %}"
    ),
    "macro": "{% macro f(x) %}{% if x == 'a' %}y{% endif %}{% endmacro %}{{ f(m.content) }}",
    "block": "{% set c %}{{ m.content }}{% endset %}{% if c == 'x' %}y{% endif %}",
    "list": "{% set l = [] %}{% set y = l.append(m.content) %}{% if l == ['x'] %}y{% endif %}",
    "test": "{% if m.content is eq 'x' %}y{% endif %}",
    "other-key": "{% if m.name == 'x' %}y{% endif %}",
    "whole": "{% if messages|string == 'x' %}y{% endif %}",
    "select": "{% for x in messages|selectattr('content', 'equalto', 'x') %}y{% endfor %}",
    "map": (
        "{% for c in messages|map(attribute='content') %}{% if c == 'x' %}y{% endif %}{% endfor %}"
    ),
}


@pytest.mark.parametrize("body", TRIGGERS.values(), ids=TRIGGERS.keys())
def test_a_template_that_looks_into_the_words_is_refused(body: str) -> None:
    source = LOOP.replace("BODY", body)
    with pytest.raises(ArtifactError, match=r"t:1: .*\[template-trigger\]"):
        lint(source, name="t")


@pytest.mark.parametrize("name", ["in", "equal", "length", "macro", "letters"])
def test_a_reviewed_template_may_look_into_the_words(name: str) -> None:
    lint(LOOP.replace("BODY", TRIGGERS[name]), name="t", reviewed=True)


DANGEROUS = {
    "import": ("{% import 'x' as y %}", "template-node"),
    "include": ("{% include '/etc/passwd' %}", "template-node"),
    "extends": ("{% extends 'x' %}", "template-node"),
    "class": ("{{ messages.__class__ }}", "template-private"),
    "class-item": ("{{ messages['__class__'] }}", "template-private"),
    "class-map": ("{{ messages|map(attribute='__class__')|list }}", "template-private"),
    "attr": ("{{ messages|attr('x') }}", "template-filter"),
    "format": ("{{ '{:>999999999}'.format(1) }}", "template-call"),
    "percent": ("{{ '%0999999999d' % 5 }}", "template-format"),
    "percent-name": ("{% set f = '%0999999999d' %}{{ f % 5 }}", "template-format"),
    "center": ("{{ 'x'|center(999999999) }}", "template-filter"),
    "lipsum": ("{{ lipsum(9999) }}", "template-call"),
    "alias": ("{% set r = range %}{{ r(9**9) }}", "template-call"),
    "multiply": ("{{ 'x' * 1000000000 }}", "template-node"),
    "power": ("{{ 9**99999999 }}", "template-node"),
    "range": ("{% for i in range(100000) %}x{% endfor %}", "template-range"),
    "range-name": ("{% set n = 99999 %}{% for i in range(n) %}x{% endfor %}", "template-range"),
    "recursive": ("{% for a in messages recursive %}{{ loop(a) }}{% endfor %}", "template-loop"),
    "deep": (
        "{% for a in messages %}" * 4 + "{% endfor %}" * 4,
        "template-loop",
    ),
    "macro": ("{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}", "template-loop"),
    "varargs": ("{% macro f() %}{{ varargs }}{% endmacro %}{{ f(1) }}", "template-private"),
    "stars": ("{{ namespace(**messages) }}", "template-call"),
    "large": ("{{ a }}" * 7000, "template-size"),
    "chain": ("{{ " + "a + " * 1400 + "a }}", "template-size"),
    "nested": ("{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}", "template-size"),
    "syntax": ("{% if %}", "template-syntax"),
    "filter-block": ("{% filter upper %}x{% endfilter %}", "template-node"),
    "call-block": ("{% call range() %}x{% endcall %}", "template-node"),
}


@pytest.mark.parametrize(("source", "code"), DANGEROUS.values(), ids=DANGEROUS.keys())
def test_a_dangerous_template_is_refused_even_when_reviewed(source: str, code: str) -> None:
    with pytest.raises(ArtifactError, match=rf"t:\d*.*\[{code}\]|t: .*\[{code}\]"):
        lint(source, name="t", reviewed=True)


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "a + " * 150 + "messages }}",
        "".join(f"{{% set a{n} = a{n + 1} %}}" for n in range(900)) + "{% set a900 = messages %}",
        "{% set a %}" * 90 + "{{ messages[0].content }}" + "{% endset %}" * 90,
        "{% for x in messages %}" + "{{ x.role ~ (x|tojson|trim) }}" * 300 + "{% endfor %}",
    ],
    ids=["chain", "backwards", "blocks", "long"],
)
def test_the_largest_templates_are_linted_in_seconds(source: str) -> None:
    began = time.monotonic()
    with suppress(ArtifactError):
        lint(source, name="t")
    assert time.monotonic() - began < 5


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["{%", "%}", "{{", "}}", "{#", "for", "m", "in", "messages", "if", "endif", "endfor",
             "set", "=", "(", ")", "[", "]", ".", "content", "'x'", "|", "trim", "9", "-", "~",
             "macro", "endmacro", "namespace", "*", "is", "not", ",", ":", "loop", "else", " "]
        ),
        max_size=40,
    )
)  # fmt: skip
def test_any_text_is_linted_or_refused_never_a_crash(words: list[str]) -> None:
    with suppress(ArtifactError):
        lint(" ".join(words), name="t")
