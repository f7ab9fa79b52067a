"""A change of engine settings, gated like a change of the model.

::

    same artifact, other settings   the verdict is about the settings: production is measured with
                                    its own, the candidate with those of --serving
    other artifact                  the verdict is about the model: both run with --serving
    both at once                    refused where asked for: no finding could say which of the two
                                    it is about

Decides which settings production is measured with: the ones named by `--production-serving`, else
the ones its latest promotion was judged with, which the registry remembers beside the alias. How an
engine is started is `assay.serving_profile`'s; when the alias may move is the registry's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from assay import digests
from assay.documents import parse_json
from assay.errors import ConfigError
from assay.records import ArtifactRef, RegisteredVersion, RunContext, SettingsMove
from assay.serving_profile import Profile
from flows.request import Documents, GateRequest

EVIDENCE = "production_serving"
"""Name of production's settings in the evidence folder (`.yaml`) and among the digests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChange:
    """Production's own settings, where they are not the candidate's.

    Args:
        profile: what production is measured with.
        text: the YAML document that says so, for the evidence.
        digest: of its settings.
        recorded: as the registry has them, None where it has none.
    """

    profile: Profile
    text: bytes
    digest: str
    recorded: str | None


def find(
    request: GateRequest,
    documents: Documents,
    production: RegisteredVersion | None,
    candidate: ArtifactRef,
) -> SettingsChange | None:
    """Returns production's own settings, or None where both models run with the same.

    Raises:
        ConfigError: settings are named for a production that is not there, or is another artifact.
    """
    if request.production_serving is not None:
        _check_one_change(request, production, candidate)
    elif production is None or production.digest != candidate.digest:
        return None
    recorded = None if production is None else production.settings
    named = documents.production_profile
    settings = named.settings if named is not None else _of_profile(recorded, request.profile)
    if settings is None or (named is None and settings == documents.profile.settings):
        return None
    profile = documents.profile.with_settings(settings)
    text = documents.texts.get(EVIDENCE) or _as_document(request.profile, profile)
    return SettingsChange(
        profile=profile, text=text, digest=digests.of_json(profile.settings), recorded=recorded
    )


def move(
    change: SettingsChange | None, request: GateRequest, documents: Documents, context: RunContext
) -> SettingsMove | None:
    """Returns the settings that a promote records; None for production beside itself."""
    candidate, production = context.candidate, context.production
    to = as_text(request.profile, documents.profile)
    if change is not None:
        known = change.recorded is not None
        return SettingsMove(
            to=to, expected=as_text(request.profile, change.profile) if known else None
        )
    if candidate is not None and production is not None and candidate.digest == production.digest:
        return None
    return SettingsMove(to=to)


def notes(
    request: GateRequest,
    documents: Documents,
    production: RegisteredVersion | None,
    change: SettingsChange | None,
) -> tuple[str, ...]:
    """Returns what the reader should know of the settings and no finding says."""
    recorded = None if production is None else _of_profile(production.settings, request.profile)
    if production is None or recorded is None:
        return ()
    if change is not None and recorded != change.profile.settings:
        return (
            f"{request.production_serving} is not what production {production.version} is recorded "
            "with, so this verdict cannot move its settings",
        )
    if change is None and recorded != documents.profile.settings:
        return (
            f"production {production.version} was promoted with other engine settings than those "
            f"of {request.serving}, with which both models were measured; to judge the settings "
            f"by themselves: assay gate {request.model} {production.version}",
        )
    return ()


def as_text(profile_name: str, profile: Profile) -> str:
    """Returns settings as the registry keeps them: one line of JSON."""
    return json.dumps({"profile": profile_name, "settings": profile.settings}, sort_keys=True)


def _check_one_change(
    request: GateRequest, production: RegisteredVersion | None, candidate: ArtifactRef
) -> None:
    if production is None:
        raise ConfigError(
            f"--production-serving {request.production_serving}: {request.model} has no "
            "production; expected a version in production to measure with it; leave the flag out"
        )
    if production.digest != candidate.digest:
        raise ConfigError(
            f"--production-serving {request.production_serving}: the candidate is "
            f"{candidate.version} and production is {production.version}; expected one version "
            "with two settings, so that a finding is about the settings; gate the version with "
            f"production's settings first, or name {production.version} as the candidate"
        )


def _of_profile(recorded: str | None, profile_name: str) -> dict[str, Any] | None:
    """Reads the registry's settings; None where they are not of this profile."""
    if recorded is None:
        return None
    found = parse_json(recorded, "the registry's tag of production's engine settings")
    if not isinstance(found, Mapping) or found.get("profile") != profile_name:
        return None
    return dict(found["settings"])


def _as_document(profile_name: str, profile: Profile) -> bytes:
    document = {"schema_version": 1, "profiles": {profile_name: profile.model_dump(mode="json")}}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()
