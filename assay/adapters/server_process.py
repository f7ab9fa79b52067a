"""Serves a model with vLLM as a process of this machine: development, CI, machines without Docker.

Decides how the process is fenced in: a session and process group of its own, a unix socket in a
private folder, an environment that holds none of ours, and two ends of its own, whatever becomes of
the owner: end of file on its stdin, and a deadline (`container_entry.sh`). It isolates nothing:
which back ends' verdicts may move `production` is the policy's to say.

The pipe to its stdin is the tie to the owner. `PR_SET_PDEATHSIG` would not do there: that signal
comes when the *thread* that started the process ends, and it reaches one process, not the workers
below it. Inside, where every parent has one thread, the entry script sets it too, so that an engine
does not outlive the guard that would have ended it.
"""

import math
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from assay import digests
from assay.adapters import (
    server_hardware,
    server_remains,
    server_usage,
    server_workspace,
    vllm_arguments,
)
from assay.adapters.server_engine import StartedEngine
from assay.adapters.server_failure import Ending
from assay.adapters.server_remains import Member
from assay.adapters.server_workspace import Workspace
from assay.errors import ConfigError, InfrastructureError
from assay.ports import ProcessUsage, ServeRequest
from assay.records import Endpoint, EngineIdentity, Postcondition

BACKEND = "process"
ENTRY = "container_entry.sh"
_GRACE_S = 10.0
_LOG_READ_BYTES = 256 * 1024
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
_RUNTIME_STAMP = ".runtime-sha256"
"""Written by `serving/install_runtime.sh`: the digest of the lock file and the interpreter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessServer:
    """The port `ModelServer`, with processes of this machine."""

    def launch(self, request: ServeRequest) -> "ServerProcess":
        """Starts a server process and returns at once.

        Raises:
            ConfigError: there is no serving environment.
            InfrastructureError: the process or its folder could not be made.
        """
        python = _interpreter(request)
        if shutil.which("timeout") is None:
            raise ConfigError("no `timeout` on PATH; expected GNU coreutils; install them")
        workspace = server_workspace.make(request.run_id)
        try:
            return ServerProcess(request, workspace, python)
        except OSError as error:
            workspace.remove()
            raise server_workspace.cannot_write(error) from error
        except BaseException:
            workspace.remove()
            raise

    def reap(self) -> Sequence[str]:
        """Ends and removes what dead owners left behind; returns a sentence for each."""
        return tuple(server_workspace.sweep())


class ServerProcess(StartedEngine):
    """One server process, from its start to its end."""

    def __init__(self, request: ServeRequest, workspace: Workspace, python: Path) -> None:
        endpoint = Endpoint(
            base_url="http://localhost",
            model=request.name,
            uds=workspace.socket,
            api_key=secrets.token_urlsafe(24),
        )
        super().__init__(request, endpoint, "the machine's memory")
        self._workspace = workspace
        self._runtime = _runtime_digest(python)
        self._last_log = ""
        self._stopped = False
        self._family: frozenset[Member] = frozenset()
        self._gpu_memory = server_remains.gpu_memory(request.profile.gpus)
        self._process = self._start(python)

    def _start(self, python: Path) -> subprocess.Popen[bytes]:
        request, workspace = self.request, self._workspace
        template = self.artifact.chat_template
        entry = resources.files("assay.adapters").joinpath(ENTRY)
        command = [
            *("/bin/sh", str(entry), str(math.ceil(request.profile.lifetime_s))),
            *(str(python), "-m", vllm_arguments.SERVER_MODULE),
            *vllm_arguments.server_arguments(
                request,
                model=str(self.artifact.folder.resolve()),
                socket=str(workspace.socket),
                template=None if template is None else str(template.resolve()),
            ),
        ]
        environment = self._environment()
        with workspace.log.open("wb") as log:
            try:
                process = subprocess.Popen(  # noqa: S603 - the command is ours
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd=workspace.temporary,
                    start_new_session=True,
                )
            except OSError as error:
                raise InfrastructureError(
                    f"{python}: the server process could not be started ({error}); see "
                    "serving.yaml, field python"
                ) from error
        try:
            workspace.note_owner(run_id=request.run_id, group=process.pid)
        except BaseException:
            _end_group(process)
            raise
        return process

    def _environment(self) -> dict[str, str]:
        # Nothing of ours is handed on by default: it may hold credentials.
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        # The runtime is shared by all artifacts: a process could write to the others' anyway.
        cache = self.request.cache_dir.resolve() / "engine" / BACKEND / self._runtime[-16:]
        cache.mkdir(parents=True, exist_ok=True)
        return inherited | vllm_arguments.server_environment(
            self.request,
            api_key=self.endpoint.api_key or "",
            home=str(self._workspace.temporary),
            cache=str(cache),
        ) | {"TMPDIR": str(self._workspace.temporary)}  # fmt: skip

    def ending(self) -> Ending | None:
        """Returns how the server process ended, None while it runs."""
        status = _exit_status(self._process.pid)
        return None if status is None else Ending(exit_status=status)

    def log(self) -> str:
        """Returns the latest part of the server's log, also after it was stopped."""
        with suppress(OSError), self._workspace.log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _LOG_READ_BYTES))
            self._last_log = stream.read().decode(errors="replace")
        return self._last_log

    def identity(self, version: str) -> EngineIdentity:
        """Returns what runs; the lock file's digest stands for the image."""
        return self._identity(
            backend=BACKEND,
            version=version,
            image=self._runtime,
            hardware=server_hardware.describe(self.request.profile.gpus),
        )

    def usage(self) -> ProcessUsage | None:
        """Returns what the whole process tree uses; None once it has ended."""
        return server_usage.of_tree(self._process.pid)

    def stop(self) -> None:
        """Ends all its processes and removes the private folder; never raises."""
        if not self._stopped:
            self.log()
            self._family = server_remains.family(self._process.pid, self._workspace.temporary)
            _end_group(self._process)
            # A process that made a group of its own is not reached by a signal to ours.
            late = server_remains.family(self._process.pid, self._workspace.temporary)
            self._family |= late
            server_remains.kill(self._family)
            self._workspace.remove()
            self._stopped = True

    def postconditions(self) -> Sequence[Postcondition]:
        """Looks for processes, socket, folder and GPU memory that should be gone."""
        gpus = self.request.profile.gpus
        return (
            server_remains.processes_gone(self._family, f"group {self._process.pid}"),
            *server_remains.folder_gone(self._workspace),
            *server_remains.gpu_memory_gone(gpus, self._family, self._gpu_memory),
        )


def _exit_status(pid: int) -> int | None:
    """Returns a child's exit status (128 + n for signal n), None while it runs.

    The child is not reaped: until `_end_group` has killed what is left of its group, its number
    must not become another process's.
    """
    try:
        facts = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 128 + signal.SIGTERM
    if facts is None:
        return None
    return facts.si_status if facts.si_code == os.CLD_EXITED else 128 + facts.si_status


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends a process group: asked first, killed after a while; leftovers are killed in any case."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGTERM)
    end = time.monotonic() + _GRACE_S
    while _exit_status(process.pid) is None and time.monotonic() < end:
        time.sleep(0.05)
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(OSError, subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def _interpreter(request: ServeRequest) -> Path:
    # Not resolved: a virtual environment's interpreter is a link, and the link is what matters.
    python = Path(request.profile.python).absolute()
    if not os.access(python, os.X_OK):
        raise ConfigError(
            f"serving.yaml: profile {request.profile_name}: python {request.profile.python!r} is "
            "not there; expected the interpreter of a serving environment; run "
            "serving/install_runtime.sh, or choose the docker back end"
        )
    return python


def _runtime_digest(python: Path) -> str:
    stamp = python.parent.parent / _RUNTIME_STAMP
    with suppress(OSError):
        found = stamp.read_text().strip()
        if len(found) == 64:
            return f"sha256:{found}"
    return digests.of_bytes(f"unlocked environment {python}".encode())
