"""Reads a vulnerability report of a container image, as Trivy or Grype writes it.

Decides which image a report is about, when it was made and what it found; what is done about it is
`image_policy`'s. Nothing is scanned here. Fields that nothing is decided by are passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from assay.documents import describe, parse_json, read_text
from assay.errors import ConfigError

MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Vulnerability:
    """One finding; `severity` in capitals, `fixed_in` empty where no fix is known."""

    id: str
    severity: str
    package: str
    version: str
    fixed_in: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScan:
    """One report: `digests` are the image's, each as `sha256:<hex>`."""

    tool: str
    digests: frozenset[str]
    made_at: datetime
    found: tuple[Vulnerability, ...]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _TrivyFinding(_Part):
    id: str = Field(alias="VulnerabilityID")
    package: str = Field(alias="PkgName")
    version: str = Field(default="", alias="InstalledVersion")
    fixed_in: str = Field(default="", alias="FixedVersion")
    severity: str = Field(alias="Severity")


class _TrivyResult(_Part):
    found: tuple[_TrivyFinding, ...] | None = Field(default=None, alias="Vulnerabilities")


class _TrivyMetadata(_Part):
    image_id: str = Field(default="", alias="ImageID")
    repo_digests: tuple[str, ...] | None = Field(default=None, alias="RepoDigests")


class _Trivy(_Part):
    made_at: AwareDatetime = Field(alias="CreatedAt")
    metadata: _TrivyMetadata = Field(alias="Metadata")
    results: tuple[_TrivyResult, ...] = Field(alias="Results", min_length=1)

    def scan(self) -> ImageScan:
        return ImageScan(
            tool="Trivy",
            digests=_digests(self.metadata.image_id, *(self.metadata.repo_digests or ())),
            made_at=self.made_at,
            found=tuple(
                Vulnerability(
                    id=one.id,
                    severity=one.severity.upper(),
                    package=one.package,
                    version=one.version,
                    fixed_in=one.fixed_in,
                )
                for result in self.results
                for one in result.found or ()
            ),
        )


class _GrypeFix(_Part):
    versions: tuple[str, ...] = ()


class _GrypeVulnerability(_Part):
    id: str
    severity: str
    fix: _GrypeFix = _GrypeFix()


class _GrypeArtifact(_Part):
    name: str
    version: str = ""


class _GrypeMatch(_Part):
    vulnerability: _GrypeVulnerability
    artifact: _GrypeArtifact


class _GrypeTarget(_Part):
    image_id: str = Field(default="", alias="imageID")
    manifest: str = Field(default="", alias="manifestDigest")
    repo_digests: tuple[str, ...] = Field(default=(), alias="repoDigests")


class _GrypeSource(_Part):
    target: _GrypeTarget


class _GrypeDescriptor(_Part):
    timestamp: AwareDatetime


class _Grype(_Part):
    matches: tuple[_GrypeMatch, ...]
    source: _GrypeSource
    descriptor: _GrypeDescriptor

    def scan(self) -> ImageScan:
        target = self.source.target
        return ImageScan(
            tool="Grype",
            digests=_digests(target.image_id, target.manifest, *target.repo_digests),
            made_at=self.descriptor.timestamp,
            found=tuple(
                Vulnerability(
                    id=one.vulnerability.id,
                    severity=one.vulnerability.severity.upper(),
                    package=one.artifact.name,
                    version=one.artifact.version,
                    fixed_in=", ".join(one.vulnerability.fix.versions),
                )
                for one in self.matches
            ),
        )


def read_scan(path: Path) -> ImageScan:
    """Reads a report in the JSON of Trivy (`--format json`) or Grype (`-o json`).

    Raises:
        ConfigError: not such a report; one that names no image, no time, or looked at nothing.
    """
    if path.exists() and path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; expected one image's report")
    value: Any = parse_json(read_text(path), str(path))
    keys = value.keys() if isinstance(value, dict) else ()
    kind = _Trivy if "Metadata" in keys or "Results" in keys else _Grype
    try:
        scan = kind.model_validate(value).scan()
    except ValidationError as error:
        raise ConfigError(
            f"{path}: not a report of Trivy or Grype ({describe(error)[:400]}); make one with "
            "`trivy image --format json` or `grype -o json`"
        ) from None
    if not scan.digests:
        raise ConfigError(
            f"{path}: names no image by digest; expected an image id or repository digest; scan "
            "the image itself, not a folder"
        )
    return scan


def _digests(*names: str) -> frozenset[str]:
    return frozenset(_digest_of(names))


def _digest_of(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        digest = name.rpartition("@")[2]
        if digest.startswith("sha256:"):
            yield digest
