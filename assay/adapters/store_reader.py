"""Lists versions of the trusted store and pulls them, believing nothing that is not vouched for.

Decides when a copy of a version may be used: every byte vouched for by a pinned key, for the very
name that was asked for. Leaves moving bytes to a `Transport`, the seals to `store_seals`, and what
an artifact may be to `artifact_checks`. All of a pull happens in a private staging folder that is
renamed at the end or removed::

    release.json: a pinned key, this name, this version ▶ manifest.json: the released digest
    ▶ each file: listed, this size, this digest ▶ signature over that copy ▶ checks ▶ read-only
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from assay import artifact
from assay.adapters.signer_certificate import with_certified
from assay.adapters.signer_model_signing import MAX_SIGNATURE
from assay.adapters.store_cache import BlobCache
from assay.adapters.store_copy import in_parallel, writing
from assay.adapters.store_fetch import FileFetcher
from assay.adapters.store_seals import MAX_MANIFEST, Release, Seals, read_release, verify_copy
from assay.adapters.store_staging import staging_folder
from assay.adapters.store_transport import Entry, Transport
from assay.artifact import MANIFEST, METADATA, RELEASE, SIGNATURE, Manifest, Metadata
from assay.artifact_checks import ArtifactRules, CheckedArtifact
from assay.artifact_files import refuse
from assay.documents import describe
from assay.errors import ConfigError
from assay.records import ArtifactRef, PulledArtifact
from assay.trust import TrustedKeys

THREADS = 4
STAGING = ".assay-pull-"
_AGAIN = "; the version was changed after signing; publish it again from its source"
Listing = Mapping[str, Entry]


class StoreReader:
    """The reading half of a trusted store."""

    def __init__(
        self,
        transport: Transport,
        trusted: TrustedKeys,
        *,
        rules: ArtifactRules | None = None,
        cache: BlobCache | None = None,
    ) -> None:
        self._transport = transport
        self._files = FileFetcher(transport, None if transport.is_local else cache)
        self._trusted = trusted
        self._rules = rules or ArtifactRules()

    def models(self) -> list[str]:
        """Lists the models that have a folder in the store, sorted."""
        return sorted(
            name
            for name, entry in self._transport.entries("").items()
            if entry.kind == "folder" and not name.startswith(".")
        )

    def versions(self, model: str) -> list[str]:
        """Lists the versions of a model, oldest first (PEP 440); half-published ones are none."""
        artifact.check_model_name(model)
        folders = [n for n, e in self._transport.entries(model).items() if e.kind == "folder"]
        known = artifact.in_order(folders)
        has_release = in_parallel(
            lambda version, _: RELEASE in self._transport.entries(f"{model}/{version}"),
            known,
            threads=THREADS,
        )
        return [version for version in known if has_release[version]]

    def pull(self, model: str, version: str, destination: Path) -> PulledArtifact:
        """Copies a version to a private folder and verifies that copy (see `ArtifactStore.pull`).

        Args:
            model: the model's name.
            version: the version, as `versions` spells it.
            destination: a folder that does not exist or is empty. Afterwards it holds `model/`
                (read-only files, nothing else), `chat_template.jinja` if the model has one, and
                `seals/` (metadata, manifest, signature, release manifest).
        """
        listing = self._listing(model, version)
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            raise ConfigError(f"{destination}: not an empty folder; name a new one")
        release = self._release(model, version, listing)
        manifest = self._manifest(model, version, listing, release)
        self._check_listing(listing, manifest, self._where(model, version))
        signature = self._seal(f"{model}/{version}", SIGNATURE, listing, MAX_SIGNATURE)
        seals = Seals(manifest=manifest, signature=signature, release=release)
        with writing(destination.parent):
            destination.parent.mkdir(parents=True, exist_ok=True)
            with staging_folder(destination.parent, STAGING) as staging:
                checked = self._fetch_and_verify(staging, seals)
                os.replace(staging, destination)
        template = destination / artifact.CHAT_TEMPLATE
        return PulledArtifact(
            ref=ArtifactRef(model=model, version=version, digest=manifest.digest),
            folder=destination / "model",
            metadata=checked.metadata,
            size_bytes=manifest.size_bytes,
            chat_template=template if checked.chat_template is not None else None,
            sequence=release.manifest.predicate.sequence,
        )

    def confirm(self, ref: ArtifactRef) -> None:
        """Opens the seals of a version without its files (see `ArtifactStore.confirm`)."""
        model, version = ref.model, ref.version
        listing = self._listing(model, version)
        release = self._release(model, version, listing)
        manifest = self._manifest(model, version, listing, release)
        where = self._where(model, version)
        self._check_listing(listing, manifest, where)
        if manifest.digest != ref.digest:
            raise refuse(
                "other-artifact",
                f"{where}: holds {manifest.digest}, expected {ref.digest}; a version never "
                "changes: find out who could write to the store",
            )

    def _listing(self, model: str, version: str) -> Listing:
        """Lists a version's files, or says which versions there are."""
        artifact.check_model_name(model)
        artifact.check_version(version)
        listing = self._transport.entries(f"{model}/{version}")
        if not listing:
            versions = self.versions(model)
            if not versions:
                raise artifact.unknown("model", model, self.models(), self._transport.url)
            raise artifact.unknown("version", version, versions, self._where(model))
        return listing

    def _check_listing(self, listing: Listing, manifest: Manifest, where: str) -> None:
        """Compares the names and sizes in the store with the manifest, before copying anything."""
        for name, entry in sorted(listing.items()):
            if entry.kind != "file":
                raise refuse("not-a-file", f"{where}: {name!r} is a folder or a link{_AGAIN}")
            if name not in manifest.files and name not in artifact.SEALS:
                raise refuse("extra-file", f"{where}: {name!r} is not in the manifest{_AGAIN}")
        for name in (*manifest.files, SIGNATURE):
            if name not in listing:
                raise refuse("file-missing", f"{where}: {name!r} is missing{_AGAIN}")
            promised = manifest.files.get(name)
            if promised is not None and promised.size != listing[name].size:
                raise refuse(
                    "file-size",
                    f"{where}: {name!r} has {listing[name].size} bytes, the manifest says "
                    f"{promised.size}{_AGAIN}",
                )

    def _fetch_and_verify(self, staging: Path, seals: Seals) -> CheckedArtifact:
        stated = seals.release.manifest.predicate
        model, version, manifest = stated.model, stated.version, seals.manifest
        where = self._where(model, version)
        folder, seals_folder = staging / "model", staging / "seals"
        folder.mkdir(mode=0o700)
        seals_folder.mkdir(mode=0o700)

        self._files.fetch(f"{model}/{version}", manifest.files, folder, where)
        checked = verify_copy(folder, seals_folder, seals, self._rules, where)
        check_metadata(checked.metadata, model, version)
        return checked

    def _release(self, model: str, version: str, listing: Listing) -> Release:
        where = self._where(model, version)
        if RELEASE not in listing:
            raise refuse(
                "unsigned",
                f"{where}: {RELEASE!r} is missing: the version was never published to its end, or "
                "its signed release manifest was removed; publish it again",
            )
        place, trusted = f"{model}/{version}", self._trusted
        envelope = self._seal(place, RELEASE, listing, MAX_SIGNATURE)
        if trusted.authorities:
            trusted = with_certified(trusted, self._seal(place, SIGNATURE, listing, MAX_SIGNATURE))
        return read_release(envelope, trusted, model=model, version=version, where=where)

    def _manifest(self, model: str, version: str, listing: Listing, release: Release) -> Manifest:
        data = self._seal(f"{model}/{version}", MANIFEST, listing, MAX_MANIFEST)
        return release.read_manifest(data, self._where(model, version))

    def _seal(self, place: str, name: str, listing: Listing, limit: int) -> bytes:
        """Reads a small file of a version, bounded."""
        where = self._where(place)
        if name not in listing:
            raise refuse("unsigned", f"{where}: {name!r} is missing{_AGAIN}")
        if listing[name].kind != "file":
            raise refuse("not-a-file", f"{where}: {name!r} is a folder or a link{_AGAIN}")
        with self._transport.open(f"{place}/{name}") as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise refuse("too-large", f"{where}: {name!r} is larger than {limit} bytes{_AGAIN}")
        return data

    def _where(self, *parts: str) -> str:
        return "/".join((self._transport.url.rstrip("/"), *parts))


def check_metadata(metadata: Mapping[str, object], model: str, version: str) -> None:
    """Refuses metadata that are incomplete or speak of another model or version.

    Raises:
        ArtifactError: names the field.
    """
    try:
        stated = Metadata.model_validate(metadata)
    except ValidationError as error:
        raise refuse("metadata", f"{METADATA}: {describe(error)}; correct the file") from None
    if (stated.model_name, stated.version) != (model, version):
        raise refuse(
            "metadata",
            f"{METADATA}: speaks of {stated.model_name!r} {stated.version!r}, expected {model!r} "
            f"{version!r}; correct the file, or publish under the name it states",
        )
