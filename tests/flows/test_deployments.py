"""Every flow has a deployment whose form explains itself; nothing runs that nobody asked for."""

import importlib
import json
import pkgutil
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

import flows
from assay.errors import AssayError
from assay.records import PromotionOutcome, VerdictKind
from flows import release_events
from flows.conclude import GateResult
from flows.watch_golden import DEGRADED
from tests.gate_rig import make_rig

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = {
    one["name"]: one for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
}
AUTOMATIONS = ROOT / "deploy/prefect/automations.yaml"
SOME_ID = "00000000-0000-4000-8000-000000000000"


def all_flows() -> dict[str, Any]:
    from prefect import Flow

    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(flows.__path__):
        for value in vars(importlib.import_module(f"flows.{module.name}")).values():
            if isinstance(value, Flow):
                found[f"{value.fn.__module__}.{value.fn.__name__}"] = value
    return found


FLOWS = all_flows()


def schema(flow: Any) -> dict[str, Any]:
    """The form, by the function with which `prefect deploy` makes it."""
    from prefect.utilities.callables import parameter_schema

    return parameter_schema(flow).model_dump_for_openapi()


def literal_choices(annotation: Any) -> set[Any]:
    if typing.get_origin(annotation) is Literal:
        return set(typing.get_args(annotation))
    return set().union(*map(literal_choices, typing.get_args(annotation)))


def schema_choices(found: Any) -> set[Any]:
    if isinstance(found, dict):
        inner = (schema_choices(value) for value in found.values())
        return set(found.get("enum", [])).union(*inner)
    if isinstance(found, list):
        return set().union(*map(schema_choices, found))
    return set()


def test_every_flow_has_a_deployment_of_its_name_by_module_path() -> None:
    assert len(FLOWS) >= 7
    deployed = {one["entrypoint"]: name for name, one in DEPLOYMENTS.items()}
    assert deployed == {path: flow.name for path, flow in FLOWS.items()}


@pytest.mark.parametrize("path", sorted(FLOWS))
def test_every_parameter_has_a_title_a_help_text_and_its_choices(path: str) -> None:
    form = schema(FLOWS[path])["properties"]
    hints = typing.get_type_hints(FLOWS[path].fn, include_extras=True)
    assert set(form) == set(hints) - {"return"}
    for name, found in form.items():
        assert found["title"] != name, f"{path}: {name} has no title of its own"
        assert len(found.get("description", "")) > 15, f"{path}: {name} has no help text"
        assert found["description"].endswith("."), f"{path}: {name}"
        assert "type" in found or "anyOf" in found, f"{path}: {name} takes anything"
        assert schema_choices(found) == literal_choices(hints[name]), f"{path}: {name}"
        if "empty" in found["description"]:
            assert name not in schema(FLOWS[path]).get("required", []), f"{path}: {name}"


def test_the_choices_of_a_gate_are_offered_as_choices() -> None:
    form = schema(FLOWS["flows.gate_release.gate_release"])["properties"]
    assert form["profile"]["enum"] == ["cpu", "gpu"]
    assert schema_choices(form["backend"]) == {"docker", "process", "endpoint", "kubernetes"}
    assert schema_choices(form["change"]) == {"standard", "emergency", "low-risk"}


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_deployment_says_what_it_does_and_runs_one_at_a_time(name: str) -> None:
    found = DEPLOYMENTS[name]
    assert len(found["description"]) > 80
    assert "assay" in found["tags"]
    assert len(found["tags"]) > 1
    assert found["work_pool"] == {"name": "assay"}
    assert found["concurrency_limit"]["limit"] == 1
    assert found["concurrency_limit"]["collision_strategy"] == "ENQUEUE"
    known = set(schema(FLOWS[found["entrypoint"]])["properties"])
    given = [found, *found.get("schedules", []), *found.get("triggers", [])]
    assert set().union(*(one.get("parameters", {}) for one in given)) <= known


def test_only_what_changes_nothing_runs_without_being_switched_on() -> None:
    active = {
        name
        for name, found in DEPLOYMENTS.items()
        for one in found.get("schedules", [])
        if one["active"]
    }
    assert active == {"watch-golden"}
    assert not any(
        trigger["enabled"]
        for found in DEPLOYMENTS.values()
        for trigger in found.get("triggers", [])
    )


@pytest.fixture(scope="module")
def blocked(tmp_path_factory: pytest.TempPathFactory) -> GateResult:
    rig = make_rig(tmp_path_factory.mktemp("rig"))
    rig.gate("1.0.0")
    return rig.gate("1.2.0")


def ended(
    blocked: GateResult, kind: VerdictKind, *, moved: bool | None = None, reason: str = "so"
) -> GateResult:
    promotion = (
        moved
        if moved is None
        else PromotionOutcome(moved=moved, reason=reason, production=None, previous=None)
    )
    verdict = replace(blocked.verdict, verdict=kind)
    return replace(blocked, verdict=verdict, promotion=promotion)


def test_the_event_says_what_became_of_the_release(blocked: GateResult) -> None:
    def event(kind: VerdictKind, moved: bool | None = None) -> str:
        return release_events.name(ended(blocked, kind, moved=moved))

    assert release_events.name(blocked) == "assay.release.blocked"
    assert event(VerdictKind.INCONCLUSIVE) == "assay.release.inconclusive"
    assert event(VerdictKind.INVALID) == "assay.release.invalid"
    assert event(VerdictKind.PROMOTE, True) == "assay.release.promoted"
    assert event(VerdictKind.PROMOTE, False) == "assay.release.held", "nobody may deploy it"
    assert event(VerdictKind.BLOCK, False) == "assay.release.blocked"
    assert event(VerdictKind.BLOCK, True) == "assay.release.promoted", "people overrode the block"


def test_the_payload_leads_to_the_evidence_and_holds_no_case_text(blocked: GateResult) -> None:
    payload = release_events.payload(blocked)
    assert Path(payload["evidence"]).is_absolute()
    assert (Path(payload["evidence"]) / "verdict.json").is_file()
    assert payload["verdict"] == "block"
    assert payload["production_moved"] is False
    assert "fear" in payload["summary"]
    assert "secret text" not in json.dumps(payload)
    held = release_events.payload(ended(blocked, VerdictKind.PROMOTE, moved=False))
    assert held["reason"] == "so"
    assert release_events.resource(blocked)["prefect.resource.name"] == "emotion 1.2.0"


def test_a_candidate_that_could_not_be_believed_is_not_named(blocked: GateResult) -> None:
    context = replace(blocked.verdict.context, candidate=None)
    refused = replace(blocked, verdict=replace(blocked.verdict, context=context))
    assert release_events.resource(refused)["assay.version"] == "unverified"


def test_the_example_automations_wait_for_events_that_are_raised(blocked: GateResult) -> None:
    from prefect.events.schemas.automations import AutomationCore

    text = AUTOMATIONS.read_text()
    wanted = yaml.safe_load(text.replace("NOTIFICATION_BLOCK_ID", SOME_ID))["automations"]
    expected = {
        one["name"]: set(AutomationCore.model_validate(one).trigger.expect)  # type: ignore[union-attr]
        for one in wanted
    }
    raised = {
        release_events.name(ended(blocked, kind, moved=moved))
        for kind in VerdictKind
        for moved in (None, False, True)
    }
    told = expected["assay-release-needs-eyes"] | expected["assay-release-promoted"]
    assert told == raised | {"assay.release.rolled-back"}
    assert expected["assay-golden-degraded"] == {DEGRADED}
    errors = {f"prefect.flow-run.{one.__name__}" for one in AssayError.__subclasses__()}
    broken = {f"prefect.flow-run.{name}" for name in ("Crashed", "Failed", "TimedOut")}
    assert expected["assay-gate-without-verdict"] == errors | broken
