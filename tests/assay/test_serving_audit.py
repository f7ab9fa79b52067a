"""The serving rules: what a compose file or a manifest must say, and where it does not."""

from pathlib import Path

import pytest
import yaml

from assay.errors import ConfigError
from assay.serving_audit import AuditFinding, audit
from assay.serving_audit_files import read_containers

DIGEST = "sha256:" + "a" * 64
GOOD_COMPOSE = f"""\
services:
  model:
    image: vllm/vllm-openai:v0.32.0@{DIGEST}
    command: [--model, /model, --uds, /run/model/v.sock]
    environment:
      VLLM_API_KEY: ${{VLLM_API_KEY}}
    user: "65534:65534"
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    mem_limit: 8g
    pids_limit: 512
    volumes: ["./model:/model:ro"]
"""
GOOD_KUBERNETES = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: emotion}}
spec:
  template:
    spec:
      automountServiceAccountToken: false
      securityContext: {{runAsNonRoot: true}}
      containers:
        - name: engine
          image: vllm/vllm-openai@{DIGEST}
          args: [--model, /model]
          env:
            - name: VLLM_API_KEY
              valueFrom: {{secretKeyRef: {{name: key, key: key}}}}
          securityContext:
            readOnlyRootFilesystem: true
            allowPrivilegeEscalation: false
            capabilities: {{drop: [ALL]}}
          resources: {{limits: {{memory: 8Gi}}}}
          volumeMounts: [{{name: m, mountPath: /model, readOnly: true}}]
      volumes: [{{name: m, emptyDir: {{}}}}]
"""


def findings(folder: Path, text: str) -> list[AuditFinding]:
    path = folder / "file.yaml"
    path.write_text(text)
    return audit(read_containers(path))


@pytest.mark.parametrize("text", [GOOD_COMPOSE, GOOD_KUBERNETES])
def test_a_file_that_keeps_the_rules_has_no_finding(tmp_path: Path, text: str) -> None:
    assert findings(tmp_path, text) == []


COMPOSE_MISTAKES = [
    (f"image: vllm/vllm-openai:v0.32.0@{DIGEST}", "image: vllm/vllm-openai:v0.32.0",
     {"image-by-digest"}),
    (f"image: vllm/vllm-openai:v0.32.0@{DIGEST}", "image: vllm/vllm-openai:latest",
     {"image-by-digest"}),
    (f"image: vllm/vllm-openai:v0.32.0@{DIGEST}", "image: ${IMAGE:-vllm/vllm-openai:v0.6.6}",
     {"image-by-digest", "engine-version"}),
    (f"v0.32.0@{DIGEST}", f"v0.31.9@{DIGEST}", {"engine-version"}),
    ("    read_only: true\n", "", {"privileges"}),
    ("    cap_drop: [ALL]\n", "", {"privileges"}),
    ("cap_drop: [ALL]", "cap_drop: [ALL]\n    cap_add: [SYS_ADMIN]", {"privileges"}),
    ('    user: "65534:65534"\n', "", {"privileges"}),
    ('user: "65534:65534"', "user: root", {"privileges"}),
    ('user: "65534:65534"', 'user: "0:0"', {"privileges"}),
    ("no-new-privileges:true", "seccomp:unconfined", {"privileges"}),
    ("    mem_limit: 8g\n", "", {"limits"}),
    ("    pids_limit: 512\n", "", {"limits"}),
    ("mem_limit: 8g", "mem_limit: 8g\n    privileged: true", {"privileges"}),
    ("mem_limit: 8g", "mem_limit: 8g\n    network_mode: host", {"host-namespace"}),
    ("mem_limit: 8g", "mem_limit: 8g\n    pid: host", {"host-namespace"}),
    ("mem_limit: 8g", "mem_limit: 8g\n    ipc: host", {"host-namespace"}),
    ("mem_limit: 8g", 'mem_limit: 8g\n    ports: ["8000:8000"]', {"published-port"}),
    ("mem_limit: 8g", 'mem_limit: 8g\n    ports: ["0.0.0.0:80:8000"]', {"published-port"}),
    ("mem_limit: 8g", "mem_limit: 8g\n    ports: [{target: 8000, published: 80}]",
     {"published-port"}),
    ("--uds, /run/model/v.sock", "--api-key, sk-secret", {"secrets"}),
    ("--uds, /run/model/v.sock", "--api-key=sk-secret", {"secrets"}),
    ("--uds, /run/model/v.sock", "--trust-remote-code", {"engine-options"}),
    ("--uds, /run/model/v.sock", "--trust_remote_code", {"engine-options"}),
    ("--uds, /run/model/v.sock", "--enable-prompt-embeds", {"engine-options"}),
    ("--model, /model", "--model, org/model", {"engine-options"}),
    ("--model, /model", "--model=org/model", {"engine-options"}),
    ("VLLM_API_KEY: ${VLLM_API_KEY}", "VLLM_API_KEY: sk-secret", {"secrets"}),
    ("VLLM_API_KEY: ${VLLM_API_KEY}", 'VLLM_SERVER_DEV_MODE: "1"', {"engine-options"}),
    ("./model:/model:ro", "./model:/model", {"reach"}),
    ("./model:/model:ro", "/var/run/docker.sock:/s", {"reach"}),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "rules"), COMPOSE_MISTAKES)
def test_a_broken_rule_of_a_compose_file_is_named(
    tmp_path: Path, good: str, bad: str, rules: set[str]
) -> None:
    assert good in GOOD_COMPOSE
    found = findings(tmp_path, GOOD_COMPOSE.replace(good, bad))
    assert {one.rule for one in found} == rules
    assert all("sk-secret" not in str(one) for one in found), "a secret is never repeated"


KUBERNETES_MISTAKES = [
    (f"openai@{DIGEST}", "openai:v0.6.6", {"image-by-digest", "engine-version"}),
    ("runAsNonRoot: true", "runAsUser: 0", {"privileges"}),
    ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", {"privileges"}),
    ("allowPrivilegeEscalation: false", "privileged: true", {"privileges"}),
    ("{drop: [ALL]}", "{drop: [NET_RAW]}", {"privileges"}),
    ("{limits: {memory: 8Gi}}", "{requests: {memory: 8Gi}}", {"limits"}),
    ("automountServiceAccountToken: false", "hostNetwork: true", {"reach", "host-namespace"}),
    ("args: [--model, /model]", "args: [--model, /model]\n          ports: [{hostPort: 80}]",
     {"published-port"}),
    ("mountPath: /model, readOnly: true", "mountPath: /model", {"reach"}),
    ("emptyDir: {}", "hostPath: {path: /run/containerd/containerd.sock}", {"reach"}),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "rules"), KUBERNETES_MISTAKES)
def test_a_broken_rule_of_a_manifest_is_named(
    tmp_path: Path, good: str, bad: str, rules: set[str]
) -> None:
    assert good in GOOD_KUBERNETES
    found = findings(tmp_path, GOOD_KUBERNETES.replace(good, bad))
    assert {one.rule for one in found} == rules


def test_an_old_engine_is_refused_with_the_holes_it_has_and_its_line(tmp_path: Path) -> None:
    text = GOOD_COMPOSE.replace(f"v0.32.0@{DIGEST}", "v0.6.6")
    (finding,) = [one for one in findings(tmp_path, text) if one.rule == "engine-version"]
    assert (finding.line, finding.found) == (3, "vLLM 0.6.6")
    assert "CVE-2025-66448" in finding.why
    assert "CVE-2026-48746" in finding.why
    newer = GOOD_COMPOSE.replace(f"v0.32.0@{DIGEST}", "v0.31.0")
    (finding,) = [one for one in findings(tmp_path, newer) if one.rule == "engine-version"]
    assert "CVE-2026-48746" not in finding.why, "closed in 0.22"


def test_what_a_file_says_by_anchors_and_merges_is_heard(tmp_path: Path) -> None:
    document = yaml.safe_load(GOOD_COMPOSE)["services"]["model"]
    lines = yaml.safe_dump({"x-safe": document}).replace("x-safe:", "x-safe: &safe", 1)
    merged = lines + "services:\n  model:\n    <<: *safe\n"
    assert findings(tmp_path, merged) == []
    found = findings(tmp_path, merged + "    privileged: true\n")
    assert [one.found for one in found] == ["privileged"]


def test_only_engines_are_audited(tmp_path: Path) -> None:
    text = GOOD_COMPOSE + "  other:\n    image: prom/prometheus\n    privileged: true\n"
    assert findings(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not valid YAML"),
        ("a: 1", "neither a compose file"),
        ("", "neither a compose file"),
        ("- services", "neither a compose file"),
        ("[" * 5000, "nested too deeply|not valid YAML"),
        ("a: &a {<<: *a}\nservices: {m: *a}", None),
        ("x: 1\n" * 30_000, "larger than any serving file"),
        ("services: {m: {<<: [&a {x: 1}, *a, *a]}}", None),
    ],
)
def test_a_file_that_is_none_is_a_wrong_setting(
    tmp_path: Path, text: str, words: str | None
) -> None:
    if words is None:
        assert findings(tmp_path, text) == []
        return
    with pytest.raises(ConfigError, match=words):
        findings(tmp_path, text)
