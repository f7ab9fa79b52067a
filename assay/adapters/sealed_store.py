"""The rules of the trusted store: what is signed, and how a version comes into being.

Decides what a publisher signs and that a version becomes visible all at once, never changes, and is
written by one publisher at a time. Reading and verifying is `store_reader`'s, moving bytes a
`Transport`'s, and what an artifact may be `artifact_checks`'::

    private copy ▶ checks ▶ manifest ▶ signature ▶ claim ▶ upload ▶ release.json (now it exists)
"""

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from assay import artifact, digests
from assay.adapters.signer_certificate import certified_key, read_chain
from assay.adapters.signer_dsse import load_private_key, sign_statement
from assay.adapters.signer_model_signing import sign_folder
from assay.adapters.store_cache import BlobCache
from assay.adapters.store_claim import claimed, current
from assay.adapters.store_copy import copy_local, in_parallel, writing
from assay.adapters.store_reader import THREADS, StoreReader, check_metadata
from assay.adapters.store_seals import Release
from assay.adapters.store_staging import staging_folder
from assay.adapters.store_transport import Transport
from assay.artifact import MANIFEST, METADATA, RELEASE, SIGNATURE, FileEntry, Manifest
from assay.artifact_checks import ArtifactRules, CheckedArtifact, check_folder
from assay.artifact_files import walk
from assay.errors import ArtifactError, ConfigError, InfrastructureError
from assay.records import ArtifactRef
from assay.trust import TrustedKeys

Clock = Callable[[], datetime]
_MARKER = ".assay-store.json"


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


class SealedStore(StoreReader):
    """Publishes, lists and pulls signed versions over any transport (port `ArtifactStore`)."""

    def __init__(
        self,
        transport: Transport,
        trusted: TrustedKeys,
        *,
        rules: ArtifactRules | None = None,
        cache: BlobCache | None = None,
        clock: Clock = utc_now,
    ) -> None:
        super().__init__(transport, trusted, rules=rules, cache=cache)
        self._clock = clock

    def publish(
        self,
        folder: Path,
        *,
        model: str,
        version: str,
        private_key: Path,
        certificate: Path | None = None,
    ) -> ArtifactRef:
        """Signs and stores a model folder as an immutable version (see `ArtifactStore.publish`).

        `metadata.json` is completed with the model's name, version, quantisation and time. The
        folder itself is not touched. Publishing the same files again changes nothing.
        """
        artifact.check_model_name(model)
        artifact.check_version(version)
        self._check_signer(private_key, certificate)
        now = self._clock().astimezone(UTC).replace(microsecond=0)
        # The first version of all makes the store; after this, what cannot be listed is an error.
        self._transport.create(_MARKER, b'{"schema_version": 1}\n')
        others = self.versions(model)
        existing = self._stored(model, version) if version in others else None
        temporary = Path(tempfile.gettempdir())
        with writing(temporary), staging_folder(temporary, ".assay-publish-") as private:
            staged = private / "artifact"
            created_at = existing[0].manifest.predicate.created_at if existing else now
            manifest, checked = self._stage(folder, staged, model, version, created_at)
            ref = ArtifactRef(model=model, version=version, digest=manifest.digest)
            if existing is not None:
                return self._same_or_refuse(ref, manifest, existing[1])
            if twin := artifact.same_version(version, others):
                raise ArtifactError(
                    f"{self._where(model, version)}: the store holds {twin!r}, which is the same "
                    "version in another spelling; publish under a higher version [version-twin]"
                )
            envelope = self._sealed(
                staged, ref, checked, now, self._next_sequence(model, others),
                private_key, certificate,
            )  # fmt: skip
            self._upload(staged, ref, envelope, now)
        return ref

    def sign(
        self,
        folder: Path,
        destination: Path,
        *,
        model: str,
        version: str,
        private_key: Path,
        certificate: Path | None = None,
        sequence: int | None = None,
    ) -> ArtifactRef:
        """Signs a model folder without publishing it.

        Args:
            folder: the model's files; not touched.
            destination: a folder that does not exist; afterwards it holds a version as the store
                lays it out, ready to be copied to `<root>/<model>/<version>`.
            model: the model's name.
            version: the version.
            private_key: an EC key in PEM.
            certificate: vouches for a key that is not pinned itself.
            sequence: the place among the model's publications; None asks the store for the next.

        Raises:
            ConfigError: the key does not count, or the destination exists.
            ArtifactError: the folder is not publishable.
            InfrastructureError: the store cannot be asked.
        """
        artifact.check_model_name(model)
        artifact.check_version(version)
        self._check_signer(private_key, certificate)
        if destination.exists():
            raise ConfigError(f"{destination}: exists already; name a new folder")
        if sequence is None:
            sequence = self._next_sequence(model, self.versions(model))
        now = self._clock().astimezone(UTC).replace(microsecond=0)
        parent = destination.absolute().parent
        with writing(parent), staging_folder(parent, ".assay-sign-") as private:
            staged = private / "artifact"
            manifest, checked = self._stage(folder, staged, model, version, now)
            ref = ArtifactRef(model=model, version=version, digest=manifest.digest)
            envelope = self._sealed(staged, ref, checked, now, sequence, private_key, certificate)
            (staged / RELEASE).write_bytes(envelope)
            staged.rename(destination)
        return ref

    def _sealed(
        self,
        staged: Path,
        ref: ArtifactRef,
        checked: CheckedArtifact,
        now: datetime,
        sequence: int,
        private_key: Path,
        certificate: Path | None,
    ) -> bytes:
        """Writes manifest and signature beside the staged files; returns the release manifest."""
        release = artifact.release_manifest(
            model=ref.model,
            version=ref.version,
            digest=ref.digest,
            chat_template_sha256=checked.chat_template_sha256,
            sequence=sequence,
            created_at=now,
        )
        signature = staged.parent / SIGNATURE
        sign_folder(staged, signature, private_key, certificate)
        shutil.move(signature, staged / SIGNATURE)
        return sign_statement(release.canonical(), private_key)

    def _stored(self, model: str, version: str) -> tuple[Release, Manifest]:
        listing = self._transport.entries(f"{model}/{version}")
        release = self._release(model, version, listing)
        return release, self._manifest(model, version, listing, release)

    def _check_signer(self, private_key: Path, certificate: Path | None) -> None:
        _, key_id = load_private_key(private_key)
        key = self._trusted.by_id(key_id)
        if certificate is not None:
            key = certified_key(read_chain(certificate), self._trusted.authorities)
            if key is not None and key.key_id != key_id:
                raise ConfigError(
                    f"{certificate}: certifies another key than {private_key}; name the "
                    "certificate of that key"
                )
        reason = "it is not among the trusted keys" if key is None else key.why_not(self._clock())
        if reason:
            raise ConfigError(
                f"{private_key}: nobody could pull what this key signs: {reason}; add its public "
                "half to trust.yaml, or sign with a key that is trusted now"
            )

    def _stage(
        self, folder: Path, staged: Path, model: str, version: str, created_at: datetime
    ) -> tuple[Manifest, CheckedArtifact]:
        """Copies a publisher's folder, checks the copy and completes its metadata."""
        staged.mkdir(mode=0o700)
        sources = walk(folder)

        def copy(name: str, stop: threading.Event) -> FileEntry:
            source = sources[name]
            return copy_local(source.path, staged / name, size=source.size, stop=stop)

        entries = in_parallel(copy, sources, threads=THREADS)
        checked = check_folder(staged, self._rules)
        metadata = artifact.complete_metadata(
            checked.metadata,
            model=model,
            version=version,
            created_at=created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            quantization=checked.quantization,
        )
        check_metadata(metadata, model, version)
        text = json.dumps(metadata, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (staged / METADATA).write_text(text, encoding="utf-8")
        written = (staged / METADATA).read_bytes()
        entries[METADATA] = FileEntry(
            size=len(written), sha256=digests.of_bytes(written).removeprefix("sha256:")
        )
        manifest = Manifest(files=entries)
        (staged / MANIFEST).write_bytes(manifest.canonical())
        return manifest, checked

    def _same_or_refuse(
        self, ref: ArtifactRef, manifest: Manifest, stored: Manifest
    ) -> ArtifactRef:
        if manifest == stored:
            return ref
        names = ", ".join(manifest.difference(stored)[:5])
        raise ArtifactError(
            f"{self._where(ref.model, ref.version)}: exists already with other bytes ({names}); a "
            "version never changes: publish this folder under a higher version [immutable]"
        )

    def _next_sequence(self, model: str, versions: Sequence[str]) -> int:
        highest = 0
        for version in versions:
            # A release that no pinned key vouches for counts for nothing, here as everywhere.
            with suppress(ArtifactError):
                listing = self._transport.entries(f"{model}/{version}")
                release = self._release(model, version, listing)
                highest = max(highest, release.manifest.predicate.sequence)
        return highest + 1

    def _upload(self, staged: Path, ref: ArtifactRef, release: bytes, now: datetime) -> None:
        place = f"{ref.model}/{ref.version}"
        claim_path = f"{ref.model}/.claims/{ref.version}.json"
        files = {path.name: path for path in staged.iterdir()}
        with claimed(self._transport, claim_path, now) as claim:
            if RELEASE in self._transport.entries(place):
                raise InfrastructureError(
                    f"{self._where(ref.model, ref.version)}: somebody else has just published it; "
                    "try again to compare"
                )
            # What a killed publisher left of this version would make it refused.
            self._transport.remove(place)
            in_parallel(
                lambda name, _: self._transport.upload(files[name], f"{place}/{name}"),
                sorted(files),
                threads=THREADS,
            )
            arrived = {n: e.size for n, e in self._transport.entries(place).items()}
            holder = current(self._transport, claim_path)
            if (
                arrived != {name: path.stat().st_size for name, path in files.items()}
                or holder != claim
                or not self._transport.create(f"{place}/{RELEASE}", release)
            ):
                raise InfrastructureError(
                    f"{self._where(ref.model, ref.version)}: the files did not arrive as sent, or "
                    "somebody else is publishing this version; try again"
                )
