"""Starts gates that need no start-up time: a process that has imported everything, and forks.

    python -m tests.chaos.warm_gate     (a JSON request a line on stdin, a JSON answer on stdout)

A gate is the command line itself (`assay.cli.main`) in a process and session of its own; only its
imports are already done. A request may name moments of the gate: there the gate does to itself what
is asked, by a real signal: SIGKILL, SIGTERM, SIGINT, or SIGSTOP, which lets a test do something at
just that moment. Nothing of the gate is replaced; three functions are followed to know the moment:

    step    Steps.run      a named step, before or after its action
    event   Journal.append an event of the journal, before or after it is on the disk
    write   MlflowVersions the n-th change of an alias or a tag, before or after it
"""

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

IMPORTS = (
    *("assay.cli", "assay.report", "assay.adapters.golden_dvc", "assay.adapters.load_aiohttp"),
    *("assay.adapters.chat_aiohttp", "assay.adapters.probe_vllm", "assay.adapters.store_fsspec"),
    *(
        "assay.adapters.server_docker",
        "assay.adapters.server_process",
        "assay.adapters.signer_dsse",
    ),
    *(
        "assay.adapters.registry_mlflow",
        "assay.adapters.store_staging",
        "assay.adapters.validator_gx",
    ),
    *("assay.adapters.server_guarded", "flows.conduct", "flows.wiring", "flows.resuming"),
    *(
        "great_expectations",
        "mlflow",
        "mlflow.tracking",
        "matplotlib.pyplot",
        "sqlalchemy",
        "openai",
    ),
    *("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store"),
)
Moment = tuple[str, str, str]
"""What kind of moment, which one, and `before` or `after`."""


def main() -> None:
    """Serves requests until stdin ends."""
    for name in IMPORTS:
        importlib.import_module(name)
    answer({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        answer(start(request) if request["do"] == "start" else wait(request))


def answer(document: dict[str, Any]) -> None:
    """Writes one line."""
    print(json.dumps(document), flush=True)


def start(request: dict[str, Any]) -> dict[str, Any]:
    """Forks a gate."""
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            status = become(request)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return {"pid": pid}


def wait(request: dict[str, Any]) -> dict[str, Any]:
    """Waits for a gate's end or its stop; its status is the exit code, or minus the signal."""
    end = time.monotonic() + request["timeout_s"]
    while time.monotonic() < end:
        pid, status = os.waitpid(request["pid"], os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            return {"stopped": True}
        if pid:
            return {"status": os.waitstatus_to_exitcode(status)}
        time.sleep(0.005)
    return {"late": True}


def become(request: dict[str, Any]) -> int:
    """Turns this process into the gate, and runs it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until it is one, any signal ends it
    os.setsid()
    for number, (path, flags) in enumerate(
        (
            (os.devnull, os.O_RDONLY),
            (request["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
            (request["err"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        )
    ):
        descriptor = os.open(path, flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    import tempfile

    tempfile.tempdir = None  # asked for again, from this gate's own environment
    from assay.cli import main as assay

    for moment, number in request["moments"]:
        follow(tuple(moment), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return assay(request["arguments"])


def follow(moment: Moment, number: int) -> None:
    """Sends this process a signal at a moment, once."""
    from assay.adapters.registry_versions import MlflowVersions
    from flows.journal import Journal

    kind, which, when = moment
    if kind == "step":
        _follow_step(which, when, number)
    elif kind == "event":
        append = Journal.append
        hit = _around(append, lambda self, event: event.state == which, when, number)
        Journal.append = hit  # type: ignore[method-assign]
    else:
        counted: list[int] = []

        def is_it(*_: object) -> bool:
            counted.append(1)
            return len(counted) == int(which)

        for name in ("point", "note", "tag"):
            write = getattr(MlflowVersions, name)
            setattr(MlflowVersions, name, _around(write, is_it, when, number))


def _follow_step(which: str, when: str, number: int) -> None:
    from flows.steps import PlainSteps

    run = PlainSteps.run

    def followed(self: PlainSteps, name: str, action: Any, *, retries: int = 0) -> Any:
        hit = _around(action, lambda: name == which, when, number)
        return run(self, name, hit, retries=retries)

    PlainSteps.run = followed  # type: ignore[method-assign,assignment]


def _around(
    action: Callable[..., Any], is_it: Callable[..., bool], when: str, number: int
) -> Callable[..., Any]:
    """Returns the action with the signal before or after it, where it is the one."""
    done: list[bool] = []

    def strike(at: str) -> None:
        if at == when and not done:
            done.append(True)
            os.kill(os.getpid(), number)

    def followed(*arguments: Any, **named: Any) -> Any:
        if not is_it(*arguments):
            return action(*arguments, **named)
        strike("before")
        result = action(*arguments, **named)
        strike("after")
        return result

    return followed


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
