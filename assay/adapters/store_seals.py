"""Opens the seals of a stored version: release manifest, manifest, signature.

Decides whether what a store handed out is what a pinned key released under the name that was asked
for. Order matters: nothing is parsed before its signature holds, and no signature is enough by
itself — the model's name, the key's validity and the files are compared afterwards.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from assay import digests
from assay.adapters.signer_keyless import is_bundle, verify_keyless
from assay.adapters.signer_model_signing import verify_folder
from assay.adapters.template_renderer import render_bounded
from assay.artifact import (
    CHAT_TEMPLATE,
    MANIFEST,
    METADATA,
    RELEASE,
    SIGNATURE,
    Manifest,
    ReleaseManifest,
)  # fmt: skip
from assay.artifact_checks import ArtifactRules, CheckedArtifact, check_folder
from assay.artifact_files import refuse
from assay.chat_template_rendering import renderings_digest
from assay.documents import describe, parse_json
from assay.envelopes import verify_statement
from assay.errors import ConfigError
from assay.trust import TrustedKey, TrustedKeys

MAX_MANIFEST = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release manifest that a pinned key has signed, with that key and the envelope's bytes."""

    manifest: ReleaseManifest
    key: TrustedKey
    envelope: bytes

    def read_manifest(self, data: bytes, where: str) -> Manifest:
        """Parses `manifest.json`, once its digest is the released one.

        Raises:
            ArtifactError: it is another manifest, or names files that no artifact may hold.
        """
        found = digests.of_bytes(data)
        if found != self.manifest.artifact_digest:
            raise refuse(
                "manifest-digest",
                f"{where}: {MANIFEST!r} has digest {found}, released was "
                f"{self.manifest.artifact_digest}; the version was changed after signing; publish "
                "it again from its source",
            )
        try:
            return Manifest.model_validate(parse_json(data.decode("utf-8"), MANIFEST))
        except ValidationError as error:
            raise refuse("manifest", f"{where}: {MANIFEST}: {describe(error)}") from None
        except (ConfigError, UnicodeDecodeError) as error:
            raise refuse("manifest", f"{where}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seals:
    """Everything that vouches for one version's files."""

    manifest: Manifest
    signature: bytes
    release: Release


def read_release(
    envelope: bytes, trusted: TrustedKeys, *, model: str, version: str, where: str
) -> Release:
    """Verifies a release manifest and that it is the one asked for.

    Raises:
        ArtifactError: no pinned key signed it, the key was not valid then, or it releases another
            model or version.
    """
    if trusted.identities and is_bundle(envelope):
        payload, key = verify_keyless(envelope, trusted.identities, f"{where}/{RELEASE}")
    else:
        payload, key = verify_statement(envelope, trusted, f"{where}/{RELEASE}")
    try:
        manifest = ReleaseManifest.model_validate(parse_json(payload.decode("utf-8"), RELEASE))
    except ValidationError as error:
        raise refuse("release", f"{where}: {RELEASE}: {describe(error)}") from None
    except (ConfigError, UnicodeDecodeError) as error:
        raise refuse("release", f"{where}: {error}") from None
    stated = manifest.predicate
    if reason := key.why_not(stated.created_at):
        raise refuse(
            "untrusted-key",
            f"{where}: signed on {stated.created_at.isoformat()}, but {reason}; publish it again "
            "with a key that is trusted now",
        )
    named = manifest.subject[0].name
    if (stated.model, stated.version, named) != (model, version, f"{model}/{version}"):
        raise refuse(
            "replay",
            f"{where}: its release manifest was signed for {stated.model!r} {stated.version!r}: a "
            "version stored under another one's name; remove it from the store and look who put "
            "it there",
        )
    return Release(manifest=manifest, key=key, envelope=envelope)


def verify_copy(
    folder: Path, seals_folder: Path, seals: Seals, rules: ArtifactRules, where: str
) -> CheckedArtifact:
    """Verifies a private copy, checks it, and leaves only the model's files in it, read-only.

    Args:
        folder: the copied files of the manifest; nobody else may be changing them.
        seals_folder: an empty folder, which gets the seals and the metadata.
        seals: what was stored beside the files.
        rules: what an artifact may be.
        where: the version, for messages.

    Raises:
        ArtifactError: signature, files, headers or template are not what they must be.
    """
    (folder / MANIFEST).write_bytes(seals.manifest.canonical())
    (seals_folder / SIGNATURE).write_bytes(seals.signature)
    (seals_folder / RELEASE).write_bytes(seals.release.envelope)
    expected = {name: entry.sha256 for name, entry in seals.manifest.files.items()}
    expected[MANIFEST] = seals.manifest.digest.removeprefix("sha256:")
    verify_folder(folder, seals_folder / SIGNATURE, seals.release.key, expected)
    shutil.move(folder / MANIFEST, seals_folder / MANIFEST)
    checked = check_folder(folder, rules)
    if checked.files.keys() != seals.manifest.files.keys():
        raise refuse("files", f"{where}: the copy holds other files than the manifest names")
    if checked.chat_template_sha256 != seals.release.manifest.predicate.chat_template_sha256:
        raise refuse(
            "template-digest", f"{where}: the chat template is not the one that was released"
        )
    check_rendering(checked, rules, where)
    shutil.move(folder / METADATA, seals_folder / METADATA)
    _lock(folder, seals_folder, checked.chat_template)
    return checked


def check_rendering(checked: CheckedArtifact, rules: ArtifactRules, where: str) -> None:
    """Compares what the chat template makes of fixed messages with the golden rendering.

    Raises:
        ArtifactError: it makes something else of them, or does not end.
    """
    template, pinned = checked.chat_template, rules.golden_renderings
    if template is None or pinned is None:
        return
    found = renderings_digest(render_bounded(template, where))
    expected = pinned[str(checked.chat_template_sha256)]
    if found != expected:
        raise refuse(
            "template-rendering",
            f"{where}: the chat template renders the fixed messages as {found}, expected "
            f"{expected}; look at both (`assay store template`), then correct trust.yaml or the "
            "template",
        )


def _lock(folder: Path, seals_folder: Path, chat_template: str | None) -> None:
    """Makes the files read-only and puts our own copy of the template beside their folder.

    The folder that is served is readable by all, so that a container's user can read it where it
    is mounted; the private folder around it keeps other users of this machine out.
    """
    if chat_template is not None:
        (folder.parent / CHAT_TEMPLATE).write_text(chat_template, encoding="utf-8", newline="")
        os.chmod(folder.parent / CHAT_TEMPLATE, 0o444)
    for path in [*folder.iterdir(), *seals_folder.iterdir()]:
        os.chmod(path, 0o444)
    os.chmod(folder, 0o755)  # noqa: S103 - the folder around it is private
