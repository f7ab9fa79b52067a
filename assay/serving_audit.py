"""The serving rules: what a container that serves a model may and may not be.

Decides which settings of a compose file or a Kubernetes manifest break a rule, and says why and
what to write instead. It judges what is written: what really runs is read from the engine by the
gate (`/version`, the image's identity). What a file does not say counts as not so.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from assay.serving_audit_container import Container, Word
from assay.serving_profile import REFUSED_VARIABLES, is_by_digest

FLOOR = "0.32.0"

_KNOWN_HOLES: tuple[tuple[str, str, str], ...] = (
    ("0.22.0", "CVE-2026-48746", "the API key can be bypassed"),
    ("0.30.0", "CVE-2026-105757", "structured outputs can kill the engine"),
    ("0.32.0", "CVE-2026-115911", "chat templates render without bound"),
    (
        "0.32.0",
        "CVE-2025-66448, CVE-2026-22807, CVE-2026-27893",
        "auto_map runs remote code without trust_remote_code",
    ),
)
_REFUSED_OPTIONS = {
    "--trust-remote-code": "runs Python that comes with the weights",
    "--enable-prompt-embeds": "loads tensors that a request brings",
    "--trust-request-chat-template": "renders templates that a request brings",
    "--enable-lora": "lets adapters be loaded that no gate has seen",
    "--allowed-local-media-path": "lets a request read files of the server",
}
_LOOPBACK = ("127.", "::1", "[::1]", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFinding:
    """One broken rule: `line` is where to look, `found` what stands there (never a secret)."""

    rule: str
    where: str
    line: int
    found: str
    why: str
    action: str


_Broken = tuple[Word | None, str, str, str]
"""Where (None: the container), what was found, why it matters, what to do."""
_Rule = Callable[[Container], Iterator[_Broken]]


def audit(containers: Sequence[Container]) -> list[AuditFinding]:
    """Returns every broken rule of the containers that run vLLM, in the order of the file."""
    findings = [
        AuditFinding(
            rule=rule,
            where=container.name,
            line=word.line if word is not None else container.line,
            found=found,
            why=why,
            action=action,
        )
        for container in containers
        if container.is_engine
        for rule, check in RULES.items()
        for word, found, why, action in check(container)
    ]
    return sorted(findings, key=lambda finding: (finding.line, finding.rule))


def _image_digest(container: Container) -> Iterator[_Broken]:
    image = container.image
    if image is None or not image.text or not is_by_digest(image.text):
        found = f"image {image.text!r}" if image and image.text else "no image that can be read"
        why = "what a tag names can change between the gate and production"
        yield image, found, why, "name the image by digest, as name@sha256:…"


def _engine_version(container: Container) -> Iterator[_Broken]:
    version = _tagged_version(container.image)
    if container.image is None or version is None or version >= Version(FLOOR):
        return
    holes = "; ".join(f"{ids}: {what}" for end, ids, what in _KNOWN_HOLES if version < Version(end))
    yield (
        container.image,
        f"vLLM {version}",
        f"known holes of versions before {FLOOR} ({holes})",
        f"serve vLLM {FLOOR} or later",
    )


def _tagged_version(image: Word | None) -> Version | None:
    if image is None:
        return None
    name = image.text.partition("@")[0]
    tag = name.rpartition(":")[2] if ":" in name.rpartition("/")[2] else ""
    found = re.match(r"v?(\d+\.\d+(?:\.\d+)?(?:\.?(?:post|rc|dev)\d*)?)", tag)
    try:
        return Version(found[1]) if found else None
    except InvalidVersion:
        return None


def _host_namespaces(container: Container) -> Iterator[_Broken]:
    for word in container.host_namespaces:
        why = "the container shares the machine's own network, processes or memory"
        yield word, "a namespace of the host", why, "remove it; give the container its own"


def _published(container: Container) -> Iterator[_Broken]:
    for port in container.ports:
        if not port.address.startswith(_LOOPBACK):
            yield (
                port.words,
                f"port {port.words.text!r} on {port.address or 'every address'}",
                "the key covers /v1 only: /pause, /update_weights, /tokenize and others are open",
                "publish it on 127.0.0.1, or serve on a unix socket behind a proxy",
            )


def _privileges(container: Container) -> Iterator[_Broken]:
    if container.privileged is not None:
        yield container.privileged, "privileged", "it is root on the machine", "remove it"
    user = container.user
    if user is None or user.text.split(":")[0] in ("0", "root"):
        found = f"user {user.text!r}" if user else "no user"
        why = "root in the container is root outside after an escape"
        yield user, found, why, 'run as a user without rights (user: "65534:65534", runAsUser)'
    if container.read_only is None:
        why = "what breaks in can write programs where they will be run"
        yield None, "a writable root", why, "read_only: true (readOnlyRootFilesystem) and a tmpfs"
    if not any(word.text.upper() == "ALL" for word in container.dropped):
        why = "an engine needs none of them"
        yield None, "capabilities kept", why, "drop ALL capabilities"
    for word in container.added:
        yield word, f"capability {word.text!r} added", "an engine needs none", "remove it"
    if container.no_new_privileges is None:
        why = "a set-uid program inside could make it root"
        action = "security_opt: [no-new-privileges:true] (allowPrivilegeEscalation: false)"
        yield None, "new privileges allowed", why, action
    if container.unconfined is not None:
        why = "it may make every system call"
        yield container.unconfined, container.unconfined.text, why, "keep the default profile"


def _limits(container: Container) -> Iterator[_Broken]:
    why = "one engine can take the whole machine with it"
    if container.memory is None:
        yield None, "no memory limit", why, "set mem_limit (resources.limits.memory)"
    if container.limits_pids and container.pids is None:
        yield None, "no limit of processes", why, "set pids_limit"


def _reach(container: Container) -> Iterator[_Broken]:
    for word in container.sockets:
        why = "whoever reaches the container engine's socket is root on the machine"
        yield word, f"mount of {word.text!r}", why, "remove the mount"
    for word in container.writable_models:
        why = "the weights that were verified can be changed while they are served"
        yield word, f"writable mount {word.text!r}", why, "mount the model read-only (:ro)"
    if container.may_mount_token:
        why = "the pod holds a token of the cluster that it has no use for"
        yield None, "a service account's token", why, "automountServiceAccountToken: false"


def _secrets(container: Container) -> Iterator[_Broken]:
    for word, _ in container.options("--api-key", "--hf-token"):
        why = "every user of the machine can read a process's arguments"
        name = word.text.split("=")[0]
        yield word, f"{name} in the arguments", why, "pass it by environment (VLLM_API_KEY)"
    for name, word in container.secret_words.items():
        why = "whoever reads the file has it"
        yield word, f"{name} written out", why, "take it from a secret or an env_file"
    keyed = container.environment.keys() & {"VLLM_API_KEY"} or any(container.options("--api-key"))
    if not keyed and container.ports and not any(container.options("--uds")):
        why = "whoever reaches the port may ask"
        yield None, "no key", why, "set VLLM_API_KEY from a secret, or serve on a unix socket"


def _engine_options(container: Container) -> Iterator[_Broken]:
    for name, why in _REFUSED_OPTIONS.items():
        for word, value in container.options(name):
            if value.lower() not in ("false", "0"):
                yield word, name, why, "remove it"
    for name, why in REFUSED_VARIABLES.items():
        set_to = container.environment.get(name)
        if set_to is not None and set_to.text.lower() not in ("", "0", "false"):
            yield set_to, f"{name}={set_to.text}", why, "remove it"
    for word, value in container.options("--model"):
        if value and not value.startswith(("/", ".")):
            yield (
                word,
                f"--model {value}",
                "the weights come from a network, unverified",
                "pull and verify a version (`assay store pull`), and mount that copy",
            )


RULES: dict[str, _Rule] = {
    "image-by-digest": _image_digest,
    "engine-version": _engine_version,
    "host-namespace": _host_namespaces,
    "published-port": _published,
    "privileges": _privileges,
    "limits": _limits,
    "reach": _reach,
    "secrets": _secrets,
    "engine-options": _engine_options,
}
