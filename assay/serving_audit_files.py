"""Reads compose files and Kubernetes manifests into containers, keeping the line of every value.

Decides where each of the two formats says what; a file is never run, included or fetched from. A
variable counts as its default (`${IMAGE:-name}`), and as unknown without one.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from assay.documents import read_text
from assay.errors import ConfigError
from assay.serving_audit_container import Container, PublishedPort, Word

_VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?[^}]*\}|\$(\w+)")
_SECRET = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD)S?$")
_MERGE = "tag:yaml.org,2002:merge"
_WORKLOADS = ("spec.template.spec", "spec.jobTemplate.spec.template.spec", "spec")
_MAX_BYTES = 2**20
_MAX_VALUES = 20_000
_MAX_MERGES = 4


@dataclass(frozen=True, slots=True)
class _Node:
    """A value of a YAML document, by path; one that is not there has no line of its own."""

    node: yaml.Node | None

    @property
    def line(self) -> int:
        return self.node.start_mark.line + 1 if self.node is not None else 0

    def get(self, path: str) -> "_Node":
        found = self
        for key in path.split("."):
            found = _Node(dict(found.pairs()).get(key))
        return found

    def pairs(self, seen: frozenset[int] = frozenset()) -> Iterator[tuple[str, yaml.Node]]:
        """Yields the keys of a mapping; those written out win over merged ones by coming last."""
        if not isinstance(self.node, yaml.MappingNode) or len(seen) > _MAX_MERGES:
            return
        for key, value in self.node.value:
            if key.tag == _MERGE:
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for one in reversed(merged[:_MAX_MERGES]):
                    if id(one) not in seen:
                        yield from _Node(one).pairs(seen | {id(one)})
        for key, value in self.node.value:
            if key.tag != _MERGE and isinstance(key, yaml.ScalarNode):
                yield key.value, value

    def items(self) -> list["_Node"]:
        if isinstance(self.node, yaml.SequenceNode):
            return [_Node(one) for one in self.node.value]
        return []

    def word(self) -> Word | None:
        if isinstance(self.node, yaml.ScalarNode) and self.node.value not in ("", "null", "~"):
            return Word(_filled_in(self.node.value), self.line)
        return None

    def words(self) -> tuple[Word, ...]:
        """A list of words, or one string split as a shell would."""
        one = self.word()
        if one is not None:
            try:
                return tuple(Word(part, one.line) for part in shlex.split(one.text))
            except ValueError:
                return (one,)
        return tuple(word for item in self.items() if (word := item.word()) is not None)


def _filled_in(text: str) -> str:
    return _VARIABLE.sub(lambda found: found[2] or "", text)


def read_containers(path: Path) -> list[Container]:
    """Returns every container that a file describes.

    Raises:
        ConfigError: no YAML, or neither a compose file nor a Kubernetes manifest.
    """
    text = read_text(path)
    containers: list[Container] = []
    known = False
    try:
        if len(text) > _MAX_BYTES or text.count("\n") + text.count(",") > _MAX_VALUES:
            raise ConfigError(f"{path}: larger than any serving file; expected a smaller one")
        documents = list(yaml.compose_all(text, yaml.SafeLoader))
        for document in map(_Node, documents):
            if document.get("services").node is not None:
                known = True
                containers += _compose(document)
            elif document.get("kind").word() is not None:
                known = True
                containers += _kubernetes(document)
    # The library's scanner takes any number for a character or a version.
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        fault = getattr(error, "problem", None) or "nested too deeply"
        raise ConfigError(f"{place}: not valid YAML ({fault}); correct the file") from None
    if not known:
        raise ConfigError(
            f"{path}: neither a compose file (no 'services') nor a Kubernetes manifest (no "
            "'kind'); name one of these"
        )
    return containers


# --- compose ------------------------------------------------------------------------------------


def _compose(document: _Node) -> Iterator[Container]:
    for name, node in dict(document.get("services").pairs()).items():
        service = _Node(node)
        environment, secrets = _environment(service.get("environment"))
        options = [word for word in service.get("security_opt").words()]
        mounts = list(_compose_mounts(service.get("volumes")))
        yield Container(
            name=f"service {name!r}",
            line=service.line,
            image=service.get("image").word(),
            arguments=service.get("entrypoint").words() + service.get("command").words(),
            environment=environment,
            secret_words=secrets,
            ports=tuple(_compose_ports(service.get("ports"))),
            host_namespaces=_only_host(service, "network_mode", "pid", "ipc", "userns_mode"),
            network=service.get("network_mode").word(),
            privileged=_true(service.get("privileged")),
            user=service.get("user").word(),
            read_only=_true(service.get("read_only")),
            dropped=service.get("cap_drop").words(),
            added=service.get("cap_add").words(),
            no_new_privileges=next(
                (w for w in options if re.fullmatch(r"no-new-privileges([:=]true)?", w.text)), None
            ),
            unconfined=next((w for w in options if w.text.endswith("unconfined")), None),
            memory=service.get("mem_limit").word()
            or service.get("deploy.resources.limits.memory").word(),
            pids=service.get("pids_limit").word()
            or service.get("deploy.resources.limits.pids").word(),
            sockets=tuple(word for word, _ in mounts if _is_engine_socket(word.text)),
            writable_models=tuple(word for word, writable in mounts if writable),
        )


def _compose_ports(node: _Node) -> Iterator[PublishedPort]:
    for item in node.items():
        word = item.word()
        if word is None:  # the long form
            published = item.get("published").word() or item.get("target").word()
            if published is not None:
                host = item.get("host_ip").word()
                yield PublishedPort(address=host.text if host else "", words=published)
            continue
        address, _, rest = word.text.rpartition(":")[0].rpartition(":")
        yield PublishedPort(address=address if rest else "", words=word)


def _compose_mounts(node: _Node) -> Iterator[tuple[Word, bool]]:
    for item in node.items():
        word = item.word()
        if word is not None:
            source, _, target = word.text.partition(":")
            writable = "model" in target and "ro" not in target.split(":")[-1].split(",")
            yield Word(source, word.line), writable
        elif (source_word := item.get("source").word()) is not None:
            target_word = item.get("target").word()
            holds_model = target_word is not None and "model" in target_word.text
            yield source_word, holds_model and _true(item.get("read_only")) is None


# --- Kubernetes ---------------------------------------------------------------------------------


def _kubernetes(document: _Node) -> Iterator[Container]:
    if (document.get("kind").word() or Word("", 0)).text == "List":
        for item in document.get("items").items():
            yield from _kubernetes(item)
        return
    kind = document.get("kind").word()
    name = document.get("metadata.name").word()
    title = f"{kind.text if kind else '?'} {name.text if name else '?'!r}"
    for path in _WORKLOADS:
        pod = document.get(path)
        for key in ("initContainers", "containers"):
            for container in pod.get(key).items():
                yield _pod_container(pod, container, title)
        if pod.get("containers").node is not None:
            return


def _pod_container(pod: _Node, container: _Node, title: str) -> Container:
    name = container.get("name").word()
    environment, secrets = _environment(container.get("env"))
    security, of_pod = container.get("securityContext"), pod.get("securityContext")
    user = security.get("runAsUser").word() or of_pod.get("runAsUser").word()
    non_root = _true(security.get("runAsNonRoot")) or _true(of_pod.get("runAsNonRoot"))
    escalation = security.get("allowPrivilegeEscalation").word()
    profile = "seccompProfile.type"
    seccomp = security.get(profile).word() or of_pod.get(profile).word()
    volumes = {
        word.text: volume
        for volume in pod.get("volumes").items()
        if (word := volume.get("name").word()) is not None
    }
    sockets = [v.get("hostPath.path").word() for v in volumes.values()]
    return Container(
        name=f"{title}, container {name.text if name else '?'!r}",
        line=container.line,
        image=container.get("image").word(),
        arguments=container.get("command").words() + container.get("args").words(),
        environment=environment,
        secret_words=secrets,
        ports=tuple(
            PublishedPort(address="", words=word)
            for port in container.get("ports").items()
            if (word := port.get("hostPort").word()) is not None
        ),
        host_namespaces=tuple(
            word for key in ("hostNetwork", "hostPID", "hostIPC") if (word := _true(pod.get(key)))
        ),
        privileged=_true(security.get("privileged")),
        user=user or non_root,
        read_only=_true(security.get("readOnlyRootFilesystem")),
        dropped=security.get("capabilities.drop").words(),
        added=security.get("capabilities.add").words(),
        no_new_privileges=escalation if escalation and escalation.text == "false" else None,
        unconfined=seccomp if seccomp and seccomp.text == "Unconfined" else None,
        memory=container.get("resources.limits.memory").word(),
        limits_pids=False,
        may_mount_token=(pod.get("automountServiceAccountToken").word() or Word("", 0)).text
        != "false",
        sockets=tuple(word for word in sockets if word and _is_engine_socket(word.text)),
        writable_models=tuple(
            word
            for mount in container.get("volumeMounts").items()
            if (word := mount.get("mountPath").word()) is not None
            and "model" in word.text
            and _true(mount.get("readOnly")) is None
        ),
    )


# --- both ---------------------------------------------------------------------------------------


def _environment(node: _Node) -> tuple[dict[str, Word], dict[str, Word]]:
    """Returns the variables, and those among them whose secret stands in the file itself."""
    found: dict[str, tuple[Word, str]] = {}
    for key, inner in node.pairs():
        found[key] = (_Node(inner).word() or Word("", _Node(inner).line), _raw(inner))
    for item in node.items():
        word, name = item.word(), item.get("name").word()
        if word is not None:
            key, _, text = word.text.partition("=")
            found[key] = (Word(text, word.line), _raw(item.node).partition("=")[2])
        elif name is not None:
            value = item.get("value")
            found[name.text] = (value.word() or Word("", item.line), _raw(value.node))
    plain = {key: word for key, (word, _) in found.items()}
    secret = {
        key: word
        for key, (word, raw) in found.items()
        if _SECRET.search(key.upper()) and word.text and not _VARIABLE.search(raw)
    }
    return plain, secret


def _raw(node: Any) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else ""


def _true(node: _Node) -> Word | None:
    word = node.word()
    return word if word is not None and word.text.lower() in ("true", "yes", "on") else None


def _only_host(service: _Node, *keys: str) -> tuple[Word, ...]:
    words = (service.get(key).word() for key in keys)
    return tuple(word for word in words if word is not None and word.text == "host")


def _is_engine_socket(path: str) -> bool:
    return path.endswith(("docker.sock", "containerd.sock", "crio.sock", "podman.sock"))
