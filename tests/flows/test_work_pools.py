"""The templates of the work pools, held against Prefect's own and against what they promise.

`prefect` ships the default template of each worker that Prefect publishes; ours may say more and
must leave nothing out, so that a worker finds whatever it expects.
"""

import json
import re
from pathlib import Path
from typing import Any

import prefect
import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/prefect"
KINDS = ("docker", "kubernetes", "process")
FIXED = {"docker": {"privileged", "auto_remove"}, "kubernetes": set(), "process": set()}
"""Variables of Prefect's that ours decide: nobody may ask for a privileged container."""

PLACEHOLDER = re.compile(r"\{\{ *(\w+) *\}\}")


def ours(kind: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{kind}.json").read_text())


def published(kind: str) -> dict[str, Any]:
    views = Path(prefect.__file__).parent / "server/api/collections_data/views"
    by_package = json.loads((views / "aggregate-worker-metadata.json").read_text())
    (found,) = [workers[kind] for workers in by_package.values() if kind in workers]
    return found["default_base_job_configuration"]


def defaults(template: dict[str, Any]) -> dict[str, Any]:
    properties = template["variables"]["properties"]
    return {name: one["default"] for name, one in properties.items() if "default" in one}


def filled(kind: str, **values: Any) -> dict[str, Any]:
    """What a worker makes of the template, by Prefect's own code."""
    from prefect.utilities.templating import apply_values

    template = ours(kind)
    found = apply_values(template["job_configuration"], defaults(template) | values)
    assert isinstance(found, dict)
    return found


def test_there_is_a_template_for_each_kind() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_leaves_out_nothing_that_the_worker_expects(kind: str) -> None:
    mine, theirs = ours(kind), published(kind)
    assert set(mine["job_configuration"]) >= set(theirs["job_configuration"])
    left_out = set(theirs["variables"]["properties"]) - set(mine["variables"]["properties"])
    assert left_out == FIXED[kind]
    for name, expected in theirs["variables"]["properties"].items():
        found = mine["variables"]["properties"].get(name, expected)
        for key in ("type", "enum", "format", "items", "allOf"):
            assert found.get(key) == expected.get(key), f"{kind}: {name}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_variable_is_used_explained_and_has_a_default_that_it_allows(kind: str) -> None:
    template = ours(kind)
    variables = template["variables"]
    Draft202012Validator.check_schema(variables)
    used = set(PLACEHOLDER.findall(json.dumps(template["job_configuration"])))
    assert used == set(variables["properties"])
    for name, one in variables["properties"].items():
        assert one["title"], name
        assert one["description"], name
    errors = Draft202012Validator(variables).iter_errors(defaults(template))
    assert [error.message for error in errors] == []


def test_a_container_of_the_pool_has_no_rights_and_no_docker_socket() -> None:
    made = filled("docker")
    assert made["privileged"] is False
    assert made["auto_remove"] is True
    assert made["container_create_kwargs"] == {
        "user": "65534:65534",
        "read_only": True,
        "tmpfs": {"/tmp": "size=8g"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
    }
    assert not any("docker.sock" in volume for volume in made["volumes"])
    assert "assay-keys:/etc/assay:ro" in made["volumes"]


def test_a_job_of_the_pool_keeps_to_the_restricted_pod_security_standard() -> None:
    made = filled("kubernetes", command=["prefect", "flow-run", "execute"], name="run")
    spec = made["job_manifest"]["spec"]
    pod = spec["template"]["spec"]
    assert spec["backoffLimit"] == 0, "a gate is gone on with by its id, never begun twice"
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert all("hostPath" not in volume for volume in pod["volumes"])
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    named = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == named
    assert set(container["resources"]) == {"limits", "requests"}


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_what_a_gate_writes_and_signs_with_is_where_it_is_told(kind: str) -> None:
    from flows.settings import from_environment

    made = filled(kind)
    settings = from_environment(made["env"])
    assert "{{" not in yaml.safe_dump(made.get("volumes", [])), "every volume is settled"
    mounts = [volume.split(":")[1] for volume in made.get("volumes", [])]
    if kind == "kubernetes":
        (container,) = made["job_manifest"]["spec"]["template"]["spec"]["containers"]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    home, keys = "/var/lib/assay", "/etc/assay"
    assert {home, keys} <= set(mounts)
    assert str(settings.home) == home
    assert str(settings.trust.parent) == keys
    assert settings.signing_key is not None
    assert str(settings.signing_key.parent) == keys
