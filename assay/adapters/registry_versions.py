"""Registered versions and aliases in MLflow's model registry.

Decides how a version is found (by its artifact's digest and version, never by MLflow's counter) and
what it says of its gates. When an alias may move is `registry_aliases`'.
"""

from typing import TYPE_CHECKING

from assay.adapters import registry_layout as layout
from assay.adapters import registry_pages as pages
from assay.adapters.registry_aliases import CANDIDATE, SETTINGS
from assay.adapters.registry_connection import MlflowConnection
from assay.adapters.registry_moves import MOVED, PREVIOUS, PRODUCTION
from assay.errors import ConfigError
from assay.ports import GateRecord
from assay.records import ArtifactRef, RegisteredVersion

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

_MISSING = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
"""What MLflow says of a missing alias, and of a missing model."""


class MlflowVersions:
    """Implements `registry_aliases.AliasTable`; every call belongs inside `reaching`."""

    def __init__(self, connection: MlflowConnection) -> None:
        self._mlflow = connection

    def named(self, model: str, alias: str) -> RegisteredVersion | None:
        """Returns the version an alias names, or None where there is no such alias.

        Raises:
            ConfigError: the version was not registered by a gate, so nobody knows what it is.
        """
        from mlflow.exceptions import MlflowException

        try:
            found = self._mlflow.client.get_model_version_by_alias(model, alias)
        except MlflowException as error:
            if error.error_code in _MISSING:
                return None
            raise
        if layout.VERSION not in found.tags or layout.DIGEST not in found.tags:
            raise ConfigError(
                f"MLflow: {model} version {found.version}, which the alias {alias!r} names, lacks "
                f"the tags {layout.VERSION} and {layout.DIGEST}, so no gate registered it; move "
                "the alias to a version that a gate did register, or delete the alias"
            )
        return _record(found)

    def registered(self, ref: ArtifactRef) -> RegisteredVersion | None:
        """Returns the registered version of an artifact, or None."""
        found = self._find(ref)
        return None if found is None else _record(found)

    def called(self, model: str, version: str) -> RegisteredVersion | None:
        """Returns the registered version of this name, the latest of several; or None."""
        found = [
            one
            for one in self._mlflow.client.search_model_versions(f"name = '{model}'")
            if one.tags.get(layout.VERSION) == version and layout.DIGEST in one.tags
        ]
        return _record(max(found, key=lambda one: int(one.version))) if found else None

    def point(self, model: str, alias: str, number: str | None) -> None:
        """Makes an alias name a version; None removes the alias."""
        if number is None:
            self._mlflow.client.delete_registered_model_alias(model, alias)
        else:
            self._mlflow.client.set_registered_model_alias(model, alias, number)

    def note(self, model: str, key: str, value: str) -> None:
        """Sets a tag of the model itself."""
        self._mlflow.client.set_registered_model_tag(model, key, value)

    def noted(self, model: str, key: str) -> str | None:
        """Returns a tag of the model itself, or None."""
        from mlflow.exceptions import MlflowException

        try:
            value = self._mlflow.client.get_registered_model(model).tags.get(key)
        except MlflowException as error:
            if error.error_code not in _MISSING:
                raise
            return None
        return None if value is None else str(value)

    def tag(self, version: RegisteredVersion, key: str, value: str) -> None:
        """Sets a tag of a version."""
        self._mlflow.client.set_model_version_tag(version.model, version.number, key, value)

    def tagged(self, version: RegisteredVersion, key: str) -> str | None:
        """Returns a tag of a version, or None."""
        found = self._mlflow.client.get_model_version(version.model, version.number)
        value = found.tags.get(key)
        return None if value is None else str(value)

    def register(self, gate: GateRecord, gate_run: str, links: pages.Links) -> None:
        """Registers the candidate of a gate, if its artifact was verified, and says how it went."""
        if gate.context.candidate is not None and gate.source is not None:
            self._register(gate, gate.context.candidate, gate.source, gate_run, links)
            self.write_page(gate.model)

    def write_page(self, model: str) -> None:
        """Says on the model's page what its aliases name and how `production` moved."""
        from mlflow.exceptions import MlflowException

        client = self._mlflow.client
        try:
            found = client.get_registered_model(model)
        except MlflowException as error:
            if error.error_code not in _MISSING:
                raise
            return
        experiment = client.get_experiment_by_name(model)
        if experiment is None:
            return
        moves = {
            key.removeprefix(MOVED): value
            for key, value in found.tags.items()
            if key.startswith(MOVED)
        }
        rows = [self._row(model, alias, str(found.aliases[alias])) for alias in _shown(found)]
        before = found.description or ""
        text = pages.model_page(before, pages.Links(str(experiment.experiment_id)), rows, moves)
        if text != before:
            client.update_registered_model(model, description=text)

    def _row(self, model: str, alias: str, number: str) -> pages.AliasRow:
        tags = self._mlflow.client.get_model_version(model, number).tags
        return pages.AliasRow(
            alias=alias,
            version=tags.get(layout.VERSION, "registered by no gate"),
            number=number,
            verdict=tags.get(layout.VERDICT, "none"),
            gate_run=tags.get(layout.GATE_RUN),
        )

    def _register(
        self, gate: GateRecord, ref: ArtifactRef, source: str, gate_run: str, links: pages.Links
    ) -> None:
        client = self._mlflow.client
        self._ensure_model(ref.model)
        found = self._find(ref)
        if found is None:
            found = client.create_model_version(
                ref.model,
                source=source,
                run_id=gate_run,
                tags={layout.VERSION: ref.version, layout.DIGEST: ref.digest},
                await_creation_for=0,
            )
        client.set_registered_model_alias(ref.model, CANDIDATE, found.version)
        learnt = layout.counts(gate.verdict.verdict.value)
        if not learnt and layout.counts(found.tags.get(layout.VERDICT)):
            return  # a run that learnt nothing does not hide what an earlier one learnt
        for key, value in layout.version_tags(gate, gate_run).items():
            client.set_model_version_tag(ref.model, found.version, key, value)
        text = pages.version_page(gate.verdict, links, gate_run)
        client.update_model_version(ref.model, found.version, description=text)

    def _ensure_model(self, model: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._mlflow.client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _find(self, ref: ArtifactRef) -> "ModelVersion | None":
        """Returns the oldest of the versions that hold this artifact under this version."""
        found = self._mlflow.client.search_model_versions(
            f"name = '{ref.model}' and tags.`{layout.DIGEST}` = '{ref.digest}'"
        )
        same = [one for one in found if one.tags.get(layout.VERSION) == ref.version]
        return min(same, key=lambda one: int(one.version)) if same else None


def _shown(found: "RegisteredModel") -> list[str]:
    """Returns a model's aliases, the gate's own first."""
    own = [alias for alias in (PRODUCTION, PREVIOUS, CANDIDATE) if alias in found.aliases]
    return own + sorted(set(found.aliases) - set(own))


def _record(found: "ModelVersion") -> RegisteredVersion:
    return RegisteredVersion(
        model=found.name,
        version=found.tags[layout.VERSION],
        digest=found.tags[layout.DIGEST],
        number=str(found.version),
        gate_run=found.tags.get(layout.GATE_RUN),
        settings=found.tags.get(SETTINGS),
    )
