"""Which engine images may serve (`images` in `trust.yaml`): digests, a version floor, known holes.

Decides whether an image may serve a model that is to be released; what the image and the engine
are is told by the server adapters. Where `trust.yaml` says nothing of images, every image that
`serving.yaml` names is allowed, and its own `minimum_version` holds::

    images:
      allowed:
        - sha256:4f0c…            # the digest of a repository, or the id of a local image
      minimum_version: 0.32.0     # what the running engine must say of itself, at least
      report: scans/vllm.json     # of Trivy or Grype, for the very image that serves
      max_report_age_days: 14
      block: [HIGH, CRITICAL]
      waivers:
        - {id: CVE-2026-1234, package: libfoo, reason: not reachable, expires: 2026-12-31}
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from packaging.version import InvalidVersion, Version
from pydantic import Field, field_validator

from assay.documents import Document
from assay.vulnerabilities import ImageScan, Vulnerability, read_scan

_SHOWN = 5
_SKEW = timedelta(minutes=5)
Severity = Literal["UNKNOWN", "NEGLIGIBLE", "LOW", "MEDIUM", "HIGH", "CRITICAL"]


class Waiver(Document):
    """A finding that does not block until a day, and why; in one package, or in all."""

    id: str = Field(min_length=1, description="The finding's id, such as CVE-2026-1234.")
    package: str | None = Field(default=None, description="The one package it is waived in.")
    reason: str = Field(min_length=1, description="Why it does not matter here.")
    expires: date = Field(description="Last day, UTC, on which it counts.")

    def covers(self, found: Vulnerability, day: date) -> bool:
        """Whether it waives a finding on a day."""
        named = self.id == found.id and self.package in (None, found.package)
        return named and day <= self.expires


class ImageRules(Document):
    """The section `images` of `trust.yaml`."""

    allowed: tuple[Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")], ...] = Field(
        default=(), description="Digests or image ids that may serve; empty allows all."
    )
    minimum_version: str | None = Field(
        default=None, description="Version that the running engine must state, at least."
    )
    report: Path | None = Field(
        default=None, description="Trivy's or Grype's JSON report of the image; beside this file."
    )
    max_report_age_days: int = Field(default=14, ge=1, le=366)
    block: tuple[Severity, ...] = Field(
        default=("HIGH", "CRITICAL"), description="Severities that keep an image from serving."
    )
    waivers: tuple[Waiver, ...] = ()

    @field_validator("minimum_version")
    @classmethod
    def _is_a_version(cls, version: str | None) -> str | None:
        try:
            Version(version or "0")
        except InvalidVersion:
            raise ValueError("expected a version like 0.32.0") from None
        return version


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePolicy:
    """The rules, with the report they name, read once."""

    rules: ImageRules
    scan: ImageScan | None = None

    @classmethod
    def read(cls, rules: ImageRules, beside: Path) -> "ImagePolicy":
        """Reads the report that the rules name, relative to a folder.

        Raises:
            ConfigError: the report is missing or none.
        """
        scan = read_scan(beside / rules.report) if rules.report is not None else None
        return cls(rules=rules, scan=scan)

    def why_not(self, image: str, version: str | None, now: datetime) -> str | None:
        """Says why an engine may not serve, or None when it may.

        Args:
            image: `repo@sha256:…` or an image id, as the engine's container states it.
            version: what the engine says at `/version`; None where it has not spoken yet.
            now: for the age of the report and the waivers.
        """
        digest = image.rpartition("@")[2]
        allowed, minimum = self.rules.allowed, self.rules.minimum_version
        if allowed and digest not in allowed:
            return (
                f"image {digest} is not on the list of allowed images ({len(allowed)} of them); "
                "add it under images.allowed once somebody has looked at it"
            )
        if minimum and version and Version(version) < Version(minimum):
            return f"the engine says it is version {version}, expected {minimum} or later; update"
        return None if self.scan is None else self._why_not_by(self.scan, digest, now)

    def _why_not_by(self, scan: ImageScan, digest: str, now: datetime) -> str | None:
        name = f"{scan.tool}'s report {self.rules.report}"
        if digest not in scan.digests:
            about = ", ".join(sorted(scan.digests)[:2])
            return f"{name} is about {about}, not about {digest}; scan the image that serves"
        age = now - scan.made_at
        if age > timedelta(days=self.rules.max_report_age_days):
            return (
                f"{name} was made on {scan.made_at:%Y-%m-%d}, more than "
                f"{self.rules.max_report_age_days} days ago; scan the image again"
            )
        if age < -_SKEW:
            return f"{name} was made in the future ({scan.made_at.isoformat()}); mend the clock"
        open_ones = [one for one in scan.found if self._blocks(one, now.date())]
        if not open_ones:
            return None
        shown = "; ".join(
            f"{one.id} ({one.severity}) in {one.package} {one.version}"
            + (f", fixed in {one.fixed_in}" if one.fixed_in else "")
            + self._expired(one)
            for one in open_ones[:_SHOWN]
        )
        more = f" and {len(open_ones) - _SHOWN} more" if len(open_ones) > _SHOWN else ""
        return (
            f"{name} holds {len(open_ones)} findings that block: {shown}{more}; use an image "
            "without them, or waive each with a reason and a last day"
        )

    def _blocks(self, found: Vulnerability, day: date) -> bool:
        serious = found.severity in self.rules.block
        return serious and not any(waiver.covers(found, day) for waiver in self.rules.waivers)

    def _expired(self, found: Vulnerability) -> str:
        for waiver in self.rules.waivers:
            if waiver.covers(found, waiver.expires):
                return f" (its waiver ended on {waiver.expires})"
        return ""
