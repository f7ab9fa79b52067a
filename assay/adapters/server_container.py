"""What a throwaway container may do: the arguments of its creation, and the labels that own it.

Decides the isolation, in one place that can be read at once: no network, a read-only root, no
capabilities, no new privileges, nobody's user, bounded memory, processes, files and log, and one
writable folder of this machine, which holds the socket. Starting it is `server_docker`'s.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from assay.adapters import vllm_arguments
from assay.adapters.server_workspace import Workspace
from assay.errors import InfrastructureError
from assay.ports import ServeRequest
from assay.records import PulledArtifact

LABEL_OWNER = "org.assay.owner"
LABEL_RUN = "org.assay.run"
LABEL_DEADLINE = "org.assay.deadline"

_NOBODY = 65534
_ENTRY = "container_entry.sh"
_MODEL, _SOCKETS, _TEMPLATE, _CACHE = "/model", "/sock", "/assay/chat_template", "/cache"
_SCRIPT = f"/assay/{_ENTRY}"
_GIB, _MIB = 2**30, 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlan:
    """Everything that distinguishes one container from another."""

    request: ServeRequest
    workspace: Workspace
    image_id: str
    owner: str
    deadline: str
    api_key: str
    cache: Path | None


def creation_arguments(plan: ContainerPlan) -> dict[str, Any]:
    """Returns the keyword arguments of `docker.containers.create`."""
    profile = plan.request.profile
    memory = math.ceil(profile.limits.memory_gib * _GIB)
    return {
        "image": plan.image_id,
        "entrypoint": ["/bin/sh", _SCRIPT],
        "command": _command(plan),
        "environment": _environment(plan),
        "labels": {
            LABEL_OWNER: plan.owner,
            LABEL_RUN: plan.request.run_id,
            LABEL_DEADLINE: plan.deadline,
        },
        "mounts": _mounts(plan),
        "network_mode": "none",
        "user": f"{_NOBODY}:{_NOBODY}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "ipc_mode": "private",
        "working_dir": "/tmp",  # noqa: S108 - a private tmpfs
        "mem_limit": memory,
        # Equal to the memory: no swap.
        "memswap_limit": memory,
        "pids_limit": profile.limits.pids,
        "nano_cpus": None if profile.limits.cpus is None else int(profile.limits.cpus * 1e9),
        "shm_size": profile.limits.shm_mib * _MIB,
        # `exec`: torch's compiler loads what it has just built. Sized, and counted as memory.
        "tmpfs": {
            "/tmp": f"rw,exec,nosuid,nodev,size={math.ceil(profile.limits.tmp_gib * _GIB)}"  # noqa: S108
            f",uid={_NOBODY},gid={_NOBODY}"
        },
        "ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "log_config": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}},
        "device_requests": _devices(profile.gpus),
        # Not detached: stdin is closed for good when the owner, who is attached to it, is gone.
        "stdin_open": True,
        "detach": False,
        "tty": False,
        # Memory that ran out can be read only from a container that is still there.
        "auto_remove": False,
        "restart_policy": {"Name": "no"},
    }


def make_readable(artifact: PulledArtifact) -> None:
    """Lets the container's user read the private copy of a model; its parent stays closed.

    Raises:
        InfrastructureError: the copy belongs to somebody else and cannot be read by all.
    """
    files = [artifact.folder, *artifact.folder.rglob("*")]
    if artifact.chat_template is not None:
        files.append(artifact.chat_template)
    for path in files:
        needed = 0o055 if path.is_dir() else 0o044
        mode = path.stat().st_mode
        if mode & needed != needed:
            try:
                path.chmod(mode | needed)
            except OSError as error:
                raise InfrastructureError(
                    f"{path}: not readable by the container's user and not ours to open "
                    f"({error.strerror}); expected a private copy; pull the version anew"
                ) from error


def make_cache(folder: Path) -> Path:
    """Makes a folder in which a container keeps its compiled kernels; returns it, absolute."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.parent.chmod(0o700)
    folder.chmod(0o777)
    return folder.resolve()


def _command(plan: ContainerPlan) -> list[str]:
    # The official image has no `python`, Debian's none but `python3`; ours has both.
    return [
        str(math.ceil(plan.request.profile.lifetime_s)),
        *("python3", "-m", vllm_arguments.SERVER_MODULE),
        *vllm_arguments.server_arguments(
            plan.request,
            model=_MODEL,
            socket=f"{_SOCKETS}/{plan.workspace.socket.name}",
            template=None if _template(plan) is None else _TEMPLATE,
        ),
    ]


def _template(plan: ContainerPlan) -> Path | None:
    return vllm_arguments.artifact_of(plan.request).chat_template


def _environment(plan: ContainerPlan) -> Mapping[str, str]:
    cache = _CACHE if plan.cache else "/tmp/cache"  # noqa: S108
    return vllm_arguments.server_environment(
        plan.request,
        api_key=plan.api_key,
        home="/tmp",  # noqa: S108
        cache=cache,
    )


def _mounts(plan: ContainerPlan) -> list[dict[str, Any]]:
    script = Path(str(resources.files("assay.adapters").joinpath(_ENTRY)))
    mounts = [
        _bind(vllm_arguments.artifact_of(plan.request).folder, _MODEL, read_only=True),
        _bind(script, _SCRIPT, read_only=True),
        _bind(plan.workspace.socket_folder, _SOCKETS, read_only=False),
    ]
    template = _template(plan)
    if template is not None:
        mounts.append(_bind(template, _TEMPLATE, read_only=True))
    if plan.cache is not None:
        mounts.append(_bind(plan.cache, _CACHE, read_only=False))
    return mounts


def _bind(source: Path, target: str, *, read_only: bool) -> dict[str, Any]:
    # A mount, not a volume: a source that does not exist is an error, never an empty folder.
    return {
        "Type": "bind",
        "Source": os.path.realpath(source),
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _devices(gpus: int) -> list[dict[str, Any]] | None:
    return [{"Driver": "", "Count": gpus, "Capabilities": [["gpu"]]}] if gpus else None
