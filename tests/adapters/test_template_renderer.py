"""Golden renderings: what a chat template makes of fixed messages, within bounds."""

import time
from pathlib import Path

import pytest

from assay import digests
from assay.adapters import template_renderer
from assay.adapters.in_memory_store import InMemoryStore
from assay.adapters.template_renderer import render_bounded
from assay.artifact_checks import ArtifactRules
from assay.chat_template_rendering import CONVERSATIONS, renderings_digest
from assay.errors import ArtifactError
from tests.artifact_factory import TEMPLATE, make_artifact, make_keys


def test_every_conversation_is_rendered_and_no_message_is_a_template() -> None:
    rendered = render_bounded(TEMPLATE, "t")
    assert len(rendered) == len(CONVERSATIONS)
    assert "{{ 7 * 7 }}" in str(rendered[0])
    assert str(rendered[0]).endswith("<|im_start|>assistant\n")
    assert not str(rendered[3]).endswith("<|im_start|>assistant\n")
    assert rendered == render_bounded(TEMPLATE, "t")


def test_a_conversation_that_a_template_refuses_has_no_rendering() -> None:
    picky = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('no') }}{% endif %}x"
    assert render_bounded(picky, "t") == ["x", None, "x", "x"]


BOMBS = {
    "time": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "memory": "{% set n = namespace(x='x') %}{% for a in range(60) %}"
    "{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "words": "{% for a in range(99999) %}{{ 'x' * 99 }}{% endfor %}",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_soon(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = template_renderer._PROGRAM.replace("RLIMIT_CPU, (5, 5)", "RLIMIT_CPU, (1, 1)")
    monkeypatch.setattr(template_renderer, "_PROGRAM", program)
    began = time.monotonic()
    with pytest.raises(ArtifactError, match="template-bomb"):
        render_bounded(BOMBS[kind], "t")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("kind", ["right", "other-words", "other-template"])
def test_a_pulled_template_must_be_a_pinned_one_and_render_as_it_did(
    tmp_path: Path, kind: str
) -> None:
    keys = make_keys(tmp_path / "keys")
    golden = renderings_digest(render_bounded(TEMPLATE, "t"))
    pins = {
        "right": {digests.text_sha256(TEMPLATE): golden},
        "other-words": {digests.text_sha256(TEMPLATE): "0" * 64},
        "other-template": {"0" * 64: golden},
    }
    plain = InMemoryStore(keys.trusted)
    source = make_artifact(tmp_path / "source")
    plain.publish(source, model="m", version="1.0.0", private_key=keys.private)
    store = InMemoryStore(
        keys.trusted,
        transport=plain.transport,
        rules=ArtifactRules(golden_renderings=pins[kind]),
    )
    if kind == "right":
        assert store.pull("m", "1.0.0", tmp_path / "pulled").chat_template is not None
        return
    code = {"other-words": "template-rendering", "other-template": "template-pin"}[kind]
    with pytest.raises(ArtifactError, match=code):
        store.pull("m", "1.0.0", tmp_path / "pulled")
