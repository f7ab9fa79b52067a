"""Which engine images may serve: digests, versions, and reports of what is known against them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from assay.errors import ConfigError
from assay.image_policy import ImagePolicy
from assay.trust import read_image_policy
from assay.vulnerabilities import read_scan
from tests.artifact_factory import make_keys

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
NOW = datetime(2026, 7, 15, tzinfo=UTC)


def trivy(*found: tuple[str, str], **changes: Any) -> dict[str, Any]:
    return {
        "SchemaVersion": 2,
        "CreatedAt": "2026-07-10T12:00:00.123456789+02:00",
        "ArtifactName": "vllm/vllm-openai:v0.32.0",
        "Metadata": {"ImageID": OTHER, "RepoDigests": [f"vllm/vllm-openai@{DIGEST}"], "OS": {}},
        "Results": [
            {"Target": "debian", "Class": "os-pkgs"},
            {
                "Target": "python",
                "Vulnerabilities": [
                    {
                        "VulnerabilityID": name, "PkgName": "libfoo", "Severity": severity,
                        "InstalledVersion": "1.0", "FixedVersion": "1.1", "Title": "x",
                    }
                    for name, severity in found
                ],
            },
        ],
    } | changes  # fmt: skip


def grype(*found: tuple[str, str]) -> dict[str, Any]:
    return {
        "matches": [
            {
                "vulnerability": {"id": name, "severity": severity, "fix": {"versions": ["1.1"]}},
                "artifact": {"name": "libfoo", "version": "1.0", "type": "deb"},
            }
            for name, severity in found
        ],
        "source": {
            "type": "image",
            "target": {"imageID": OTHER, "manifestDigest": DIGEST, "repoDigests": []},
        },
        "descriptor": {"name": "grype", "timestamp": "2026-07-10T10:00:00.5Z"},
    }


def policy(folder: Path, report: Any = None, **rules: Any) -> ImagePolicy:
    make_keys(folder, f"k{len(list(folder.iterdir()))}")
    key = sorted(path.name for path in folder.glob("*.pub"))[0]
    if report is not None:
        (folder / "scan.json").write_text(json.dumps(report))
        rules["report"] = "scan.json"
    document = {
        "schema_version": 1,
        "keys": [{"name": "k", "public_key": key}],
        "images": rules,
    }
    (folder / "trust.yaml").write_text(json.dumps(document))
    found = read_image_policy(folder / "trust.yaml")
    assert found is not None
    return found


def test_without_rules_every_image_may_serve(tmp_path: Path) -> None:
    make_keys(tmp_path, "k")
    path = tmp_path / "trust.yaml"
    path.write_text("schema_version: 1\nkeys: [{name: k, public_key: k.pub}]\n")
    assert read_image_policy(path) is None


def test_an_image_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    rules = policy(tmp_path, allowed=[DIGEST])
    assert rules.why_not(f"vllm/vllm-openai@{DIGEST}", "0.32.0", NOW) is None
    assert rules.why_not(DIGEST, None, NOW) is None
    assert "not on the list" in str(rules.why_not(OTHER, "0.32.0", NOW))
    assert "not on the list" in str(rules.why_not("vllm/vllm-openai:v0.32.0", "0.32.0", NOW))


@pytest.mark.parametrize(("version", "fine"), [("0.31.9", False), ("0.32.0", True), (None, True)])
def test_an_engine_below_the_floor_is_refused(
    tmp_path: Path, version: str | None, fine: bool
) -> None:
    rules = policy(tmp_path, minimum_version="0.32.0")
    assert (rules.why_not(DIGEST, version, NOW) is None) == fine


@pytest.mark.parametrize("report", [trivy, grype])
def test_a_report_without_serious_findings_lets_its_image_serve(
    tmp_path: Path, report: Any
) -> None:
    rules = policy(tmp_path, report(("CVE-1", "MEDIUM"), ("CVE-2", "Low")))
    assert rules.why_not(DIGEST, "0.32.0", NOW) is None
    assert rules.why_not(OTHER, "0.32.0", NOW) is None, "the image id names the same image"


@pytest.mark.parametrize("report", [trivy, grype])
@pytest.mark.parametrize("severity", ["HIGH", "Critical"])
def test_a_serious_finding_blocks_and_is_named(tmp_path: Path, report: Any, severity: str) -> None:
    rules = policy(tmp_path, report(("CVE-1", "LOW"), ("CVE-2", severity)))
    said = str(rules.why_not(DIGEST, "0.32.0", NOW))
    assert "1 findings that block: CVE-2" in said
    assert "libfoo 1.0, fixed in 1.1" in said
    assert "CVE-1" not in said


@pytest.mark.parametrize("report", [trivy, grype])
def test_a_report_about_another_image_is_no_report(tmp_path: Path, report: Any) -> None:
    said = policy(tmp_path, report()).why_not("sha256:" + "c" * 64, "0.32.0", NOW)
    assert "not about sha256:cccc" in str(said)


def test_a_report_counts_for_its_days_only(tmp_path: Path) -> None:
    rules = policy(tmp_path, trivy(), max_report_age_days=6)
    made = datetime(2026, 7, 10, 10, tzinfo=UTC)
    assert rules.why_not(DIGEST, "0.32.0", made + timedelta(days=6)) is None
    assert "scan the image again" in str(
        rules.why_not(DIGEST, "0.32.0", made + timedelta(days=6, hours=1))
    )
    assert "in the future" in str(rules.why_not(DIGEST, "0.32.0", made - timedelta(hours=1)))


def waiver(**changes: Any) -> dict[str, Any]:
    given = {"id": "CVE-2", "reason": "not reachable", "expires": "2026-07-20"} | changes
    return {key: value for key, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("given", "waived"),
    [
        (waiver(), True),
        (waiver(package="libfoo"), True),
        (waiver(package="libbar"), False),
        (waiver(id="CVE-3"), False),
        (waiver(expires="2026-07-15"), True),
        (waiver(expires="2026-07-14"), False),
    ],
)
def test_a_waiver_counts_for_one_finding_until_its_day(
    tmp_path: Path, given: dict[str, Any], waived: bool
) -> None:
    rules = policy(tmp_path, trivy(("CVE-2", "HIGH")), waivers=[given])
    said = rules.why_not(DIGEST, "0.32.0", NOW)
    assert (said is None) == waived
    if given["expires"] == "2026-07-14":
        assert "its waiver ended on 2026-07-14" in str(said)


@pytest.mark.parametrize("missing", ["reason", "expires"])
def test_a_waiver_without_reason_or_end_is_a_wrong_setting(tmp_path: Path, missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        policy(tmp_path, trivy(), waivers=[waiver(**{missing: None})])


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("[]", "not a report"),
        ("{}", "not a report"),
        ("{", "not valid JSON"),
        (json.dumps(trivy(CreatedAt=None)), "CreatedAt"),
        (json.dumps(trivy(CreatedAt="2026-07-10T12:00:00")), "CreatedAt"),
        (json.dumps(trivy(Results=[])), "Results"),
        (json.dumps({k: v for k, v in trivy().items() if k != "Results"}), "Results"),
        (json.dumps(trivy(Metadata={})), "names no image"),
        (json.dumps({k: v for k, v in grype().items() if k != "matches"}), "matches"),
        (json.dumps(grype() | {"descriptor": {}}), "timestamp"),
    ],
)
def test_what_is_no_report_is_a_wrong_setting(tmp_path: Path, report: str, words: str) -> None:
    (tmp_path / "scan.json").write_text(report)
    with pytest.raises(ConfigError, match=words):
        read_scan(tmp_path / "scan.json")


@pytest.mark.parametrize("rules", [{"allowed": ["vllm:latest"]}, {"minimum_version": "new"}])
def test_rules_that_say_nothing_clear_are_a_wrong_setting(
    tmp_path: Path, rules: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError):
        policy(tmp_path, **rules)
