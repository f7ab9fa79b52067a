"""A server that looks like vLLM and fails in a chosen way: `fault_engine.py MODE ARGUMENTS…`.

A real process with a real socket, started by the real back end where it would start the engine.
"""

import json
import os
import resource
import signal
import socket
import socketserver
import sys
import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

MODE = sys.argv[1]
ARGUMENTS = sys.argv[2:]
VERSION = {"old": "0.6.6", "unversioned": "dev"}.get(MODE, "0.32.0")
LOADING = """\
Traceback (most recent call last):
  File "/env/vllm/model_executor/model_loader/default_loader.py", line 498, in load_weights
    loaded = model.load_weights(iterator)
RuntimeError: start (0) + length (384) exceeds dimension size (256)."""
LAST_WORDS = {
    "refuses_model": LOADING,
    "no_memory": LOADING.replace("RuntimeError: start", "torch.OutOfMemoryError: start"),
    "no_module": "/env/bin/python: No module named vllm",
}


class Answers(BaseHTTPRequestHandler):
    """Answers health, version and one chat completion, or fails as MODE says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Health and version."""
        if self.path == "/health":
            self.reply(503 if MODE == "never_ready" else 200, {})
        elif self.path == "/version":
            self.reply(200, {"version": VERSION})
        elif self.path == "/v1/models":
            names = ["a", "b"] if MODE == "two_models" else ["tiny"]
            self.reply(200, {"data": [{"id": name} for name in names]})
        else:
            self.reply(404, {})

    def do_POST(self) -> None:
        """One chat completion; `ends_half_way` ends after it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        if MODE == "garbage":
            self.reply(200, ["no", "chat", "completion"])
        elif MODE == "no_template":
            self.reply(400, {"error": {"message": "no chat template", "code": 400}})
        elif MODE == "error_500":
            self.reply(500, {"error": {"message": "engine dead", "code": 500}})
        elif MODE == "dies_answering":
            os._exit(3)
        else:
            message = {"role": "assistant", "content": "joy"}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            self.reply(
                200,
                {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
                | {"choices": [choice]},
            )
        if MODE == "ends_half_way":
            os._exit(0)

    def reply(self, status: int, body: object) -> None:
        """Sends a JSON answer."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, form: str, *values: object) -> None:
        """Stays quiet."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """HTTP on a unix socket."""

    daemon_threads = True

    def get_request(self) -> tuple[object, tuple[str, int]]:
        """Gives the handler an address to name, which a unix socket lacks."""
        return self.socket.accept()[0], ("unix", 0)


def attempt(action: Callable[[], object]) -> str:
    """Returns "done", or the name of the error that kept an action from being done."""
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"


def explore(folder: Path) -> None:
    """Writes down what an engine could do if it wanted to."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    network = partial(socket.create_connection, ("1.1.1.1", 53), 2)
    report = {
        "uid": os.getuid(),
        "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
        "no_new_privileges": int(status["NoNewPrivs"]),
        "interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "network": attempt(network),
        "write_root": attempt(partial(Path("/written").write_text, "x")),
        "write_model": attempt(partial(Path("/model/written").write_text, "x")),
        "write_script": attempt(partial(Path("/assay/container_entry.sh").write_text, "x")),
        "write_tmp": attempt(partial(Path("/tmp/written").write_text, "x")),
        "core_limit": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "arguments": ARGUMENTS,
    }
    (folder / "report.json").write_text(json.dumps(report))


def fail_early() -> None:
    """Does what the modes do that never get as far as serving."""
    if MODE in LAST_WORDS:
        sys.exit(LAST_WORDS[MODE])
    if MODE == "eats_memory":
        hoard = []
        while True:
            hoard.append(os.urandom(2**24))
    if MODE == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if MODE == "silent":
        time.sleep(3600)


def leave_the_group() -> None:
    """Starts a daemon: a session of its own, and a parent that is gone."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(os.environ["TMPDIR"], "daemon.pid").write_text(str(os.getpid()))
            time.sleep(3600)
        os._exit(0)
    os.wait()


def main() -> None:
    """Fails early, or serves."""
    fail_early()
    path = ARGUMENTS[ARGUMENTS.index("--uds") + 1]
    if MODE == "explores":
        explore(Path(path).parent)
    if os.environ.get("FAULT_ENVIRONMENT_FILE"):
        Path(os.environ["FAULT_ENVIRONMENT_FILE"]).write_text(json.dumps(dict(os.environ)))
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if MODE == "leaves_the_group":
        leave_the_group()
    print("Starting to load model", flush=True)
    if MODE == "link":
        Path(path).symlink_to("/run/docker.sock")
        time.sleep(3600)
    Server(path, Answers).serve_forever()


main()
