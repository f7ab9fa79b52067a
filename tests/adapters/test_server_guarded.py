"""Images that may not serve: refused before they start, or once they say what they are."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from assay.adapters.in_memory_server import IDENTITY, InMemoryServer
from assay.adapters.server_guarded import GuardedServer
from assay.errors import InfrastructureError
from assay.image_policy import ImagePolicy, ImageRules
from tests import serving_rig

NOW = datetime(2026, 7, 15, tzinfo=UTC)
OTHER = "sha256:" + "b" * 64


def guarded(**rules: object) -> tuple[GuardedServer, InMemoryServer]:
    inner = InMemoryServer()
    policy = ImagePolicy(rules=ImageRules.model_validate(rules))
    return GuardedServer(inner, policy, now=lambda: NOW), inner


def test_an_allowed_image_serves_as_without_a_guard(tmp_path: Path) -> None:
    server, inner = guarded(allowed=[IDENTITY.image], minimum_version="0.32.0")
    with server.launch(serving_rig.request(tmp_path, tmp_path)) as engine:
        assert engine.wait_ready(lambda _: None).identity.image == IDENTITY.image
        assert inner.running == ["1.0.0"]
    assert inner.running == []
    assert all(one.gone for one in engine.postconditions())
    inner.left_behind.append("removed one")
    assert server.reap() == ["removed one"]


def test_a_digest_that_is_not_allowed_is_never_started(tmp_path: Path) -> None:
    server, inner = guarded(allowed=[IDENTITY.image])
    request = serving_rig.request(tmp_path, tmp_path, image=f"vllm@{OTHER}")
    with pytest.raises(InfrastructureError, match="not on the list of allowed images"):
        server.launch(request)
    assert inner.launched == []


@pytest.mark.parametrize(
    ("rules", "words"),
    [({"allowed": [OTHER]}, "not on the list"), ({"minimum_version": "0.33.0"}, "version 0.32.0")],
)
def test_an_engine_that_turns_out_to_be_another_is_ended_before_it_is_asked(
    tmp_path: Path, rules: dict[str, object], words: str
) -> None:
    server, inner = guarded(**rules)
    with (
        pytest.raises(InfrastructureError, match=words),
        server.launch(serving_rig.request(tmp_path, tmp_path)) as engine,
    ):
        engine.wait_ready(lambda _: None)
    assert inner.running == []
