"""What a gate, a move back and a look at the golden set tell: once, and no case's text."""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from assay.golden_health.health import Check, Health
from assay.records import FindingStatus, VerdictKind
from flows.golden_watch import look
from flows.notices import golden_notice
from flows.rollback import roll_back
from flows.settings import Settings
from tests.gate_rig import Rig, make_rig
from tests.mail_and_hooks import WEBHOOK, HookServer


@dataclass
class NotifiedRig(Rig):
    """A gate's rig whose settings name the channels."""

    channels: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The rig's, with channels."""
        found = Settings(
            home=self.folder / "home", store="in-memory", trust=self.folder / "trust.yaml",
            tracking_uri="in-memory", who="tester",
        )  # fmt: skip
        return replace(found, notifications=self.channels and self.channels.notifications)


@pytest.fixture
def rig(tmp_path: Path) -> NotifiedRig:
    folder = tmp_path / "rig"
    folder.mkdir()
    plain = make_rig(folder)
    return NotifiedRig(**{one.name: getattr(plain, one.name) for one in fields(plain)})


def events(server: HookServer) -> list[tuple[Any, ...]]:
    found = [json.loads(one.body) for one in server.posted]
    return [(one["event"], one["model"], one["version"]) for one in found]


def test_a_gate_tells_of_each_verdict_once_when_it_is_on_the_disk(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings], rig: NotifiedRig
) -> None:
    server = hooks()
    rig.channels = configure(WEBHOOK, HOOK=server.url)
    rig.gate("1.0.0")
    blocked = rig.gate("1.2.0")
    assert events(server) == [
        ("promoted", "emotion", "1.0.0"),
        ("blocked", "emotion", "1.2.0"),
    ]
    document = json.loads(server.posted[1].body)
    assert Path(document["report"]).is_file()
    assert document["summary"] == blocked.verdict.summary
    assert document["next_steps"]
    rig.gate("1.2.0")  # the recorded verdict, again
    rig.resume(blocked.verdict.context.run_id)
    assert len(server.posted) == 2
    assert all(b"secret text" not in one.body for one in server.posted)


def test_a_gate_killed_before_it_has_told_tells_when_it_goes_on(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings], rig: NotifiedRig
) -> None:
    server = hooks()
    rig.channels = configure(WEBHOOK, HOOK=server.url)
    rig.interrupt_at = ("move production", True)
    with pytest.raises(KeyboardInterrupt):
        rig.gate("1.0.0")
    assert server.posted == []
    rig.interrupt_at = None
    rig.resume()
    rig.resume()
    assert events(server) == [("promoted", "emotion", "1.0.0")]


class KilledAt(list[str]):
    """What was said, until the gate is killed as it says something."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def append(self, line: str) -> None:
        super().append(line)
        if self.words in line:
            raise KeyboardInterrupt


def test_a_gate_killed_while_it_tells_tells_again_under_the_same_id(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings], rig: NotifiedRig
) -> None:
    first, second = hooks(manner="refuse"), hooks()
    rig.channels = configure(WEBHOOK, HOOK=first.url)
    rig.said = KilledAt("not told")
    with pytest.raises(KeyboardInterrupt):
        rig.gate("1.0.0")
    rig.said = []
    rig.channels = configure(WEBHOOK, HOOK=second.url)
    rig.resume()
    rig.resume()
    (before,), (after,) = first.posted, second.posted
    assert before.headers["webhook-id"] == after.headers["webhook-id"]


def test_a_gate_that_could_not_measure_tells_so(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings], rig: NotifiedRig
) -> None:
    server = hooks()
    rig.channels = configure(WEBHOOK, HOOK=server.url)
    rig.cases = rig.cases[:0]
    assert rig.gate("1.0.0").verdict.verdict is VerdictKind.INVALID
    assert events(server) == [("invalid", "emotion", "1.0.0")]


@pytest.mark.parametrize("manner", ["hang", "refuse"])
def test_a_failing_channel_changes_neither_verdict_nor_alias(
    hooks: Callable[..., HookServer],
    configure: Callable[..., Settings],
    rig: NotifiedRig,
    manner: str,
) -> None:
    server = hooks(manner=manner)
    rig.channels = configure(WEBHOOK, timeout_s=0.5, HOOK=server.url)
    result = rig.gate("1.0.0")
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert result.promotion is not None
    assert result.promotion.moved
    assert server.connections == 1
    assert any("not told (this changes no verdict)" in line for line in rig.said)


def test_a_move_back_is_told_with_its_reason(
    hooks: Callable[..., HookServer], configure: Callable[..., Settings], rig: NotifiedRig
) -> None:
    server = hooks()
    rig.gate("1.0.0")
    rig.gate("1.1.0")
    rig.channels = configure(WEBHOOK, HOOK=server.url)
    for run in ("20261123T151200Z-0000000f", "20261123T151300Z-0000000f"):
        roll_back(
            "emotion", "1.0.0", reason="fear is missed", run_id=run, settings=rig.settings,
            ports=rig.rollback_ports(), progress=rig.said.append,
        )  # fmt: skip
    assert events(server) == [("rolled_back", "emotion", "1.0.0")]  # the second moves nothing
    document = json.loads(server.posted[0].body)
    assert "Why: fear is missed" in document["details"]
    assert "from 1.1.0 to 1.0.0" in document["summary"]


def test_a_degraded_golden_set_is_named_by_its_checks_alone(tmp_path: Path) -> None:
    check = Check(name="words", status=FindingStatus.FAILED, says="case 'c-1' says secret text")
    seen = look(Health(digest="sha256:0", revision="t", cases=3, checks=(check,)), tmp_path)
    document = golden_notice(seen).to_json()
    assert document["details"] == ("broken: words",)
    assert "sha256:0" in document["summary"]
    assert "secret text" not in json.dumps(document)
