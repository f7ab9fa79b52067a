"""A real Prefect run waits for people with a form, and `assay approve`'s way lets it go on."""

import threading
import time
from pathlib import Path

import pytest

from assay.records import VerdictKind
from flows.approval import sign_approval
from flows.approval_pause import resume, wait_for_people
from flows.conclude import GateResult
from tests.gate_rig import MODEL, POLICY, Rig, make_rig


@pytest.mark.prefect_server
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_api")
def test_a_paused_run_goes_on_once_enough_people_have_signed(tmp_path: Path) -> None:
    from prefect import flow

    rig = make_rig(tmp_path)
    rig.gate("1.0.0")
    rig.policy = POLICY + "promotion: {approvals: {standard: 2}}\n"
    said: list[str] = []

    @flow(name="waits", persist_result=False)
    def waits() -> GateResult:
        return wait_for_people(
            rig.gate("1.1.0"),
            settings=rig.settings,
            ports=rig.ports(),
            wait_s=120,
            again=lambda: rig.gate("1.1.0"),
            progress=said.append,
        )

    people = threading.Thread(target=_approve_in_turn, args=(rig,), daemon=True)
    people.start()
    result = waits()
    people.join(60)
    assert result.verdict.verdict is VerdictKind.PROMOTE
    assert result.promotion is not None
    assert result.promotion.moved, said
    held = rig.registry.production(MODEL)
    assert held is not None
    assert held.version == "1.1.0"
    assert sum(line.startswith("waiting for people") for line in said) == 2
    assert not any(rig.settings.paused.iterdir())


def _approve_in_turn(rig: Rig) -> None:
    """Signs as `assay approve` does, whenever the run is seen to wait."""
    for who in ("Ada", "Eve"):
        note = _waiting(rig)
        folder = rig.settings.reports / note.stem
        signed = sign_approval(folder, rig.people[who], rig.settings, rig.now(), None)
        time.sleep(1)  # the note is written right before the run pauses
        assert resume(note.stem, signed.envelope, rig.settings) is not None
        while note.exists():
            time.sleep(0.1)


def _waiting(rig: Rig) -> Path:
    while True:
        for note in rig.settings.paused.glob("*.json"):
            return note
        time.sleep(0.2)


def test_where_no_run_waits_nothing_is_resumed(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    assert resume("20261123T151200Z-1f2e3d4c", b"{}", rig.settings) is None
