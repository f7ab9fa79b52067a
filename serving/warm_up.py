"""Serves a tiny model once, where the serving environment was just installed: `python warm_up.py`.

Proves that the environment serves, and leaves what later starts reuse: the byte code of all that an
engine imports, and vLLM's notes on model classes below VLLM_CACHE_ROOT.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tiny_model

DEADLINE_S = 400


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self) -> None:
        """Connects to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def request(path: Path, method: str, url: str, body: object = None) -> tuple[int, bytes]:
    """Returns (status, body) of one request."""
    connection = UnixConnection(path)
    headers = {"Content-Type": "application/json"}
    connection.request(method, url, json.dumps(body) if body else None, headers)
    response = connection.getresponse()
    return response.status, response.read()


def wait_until_healthy(server: subprocess.Popen[bytes], path: Path) -> None:
    """Returns when the server is healthy; exits when it dies or takes too long."""
    end = time.monotonic() + DEADLINE_S
    while server.poll() is None and time.monotonic() < end:
        try:
            if request(path, "GET", "/health")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.5)
    state = "ended" if server.poll() is not None else f"was not healthy within {DEADLINE_S} s"
    sys.exit(f"the engine {state}; its own words are above")


def main() -> None:
    """Starts the engine, asks it one question, stops it."""
    with tempfile.TemporaryDirectory() as folder:
        model, path = Path(folder, "model"), Path(folder, "v.sock")
        tiny_model.write(model)
        command = [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(model), "--served-model-name", "tiny", "--uds", str(path)),
            *("--dtype", "bfloat16", "--quantization", "awq", "--enforce-eager"),
        ]
        environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}
        server = subprocess.Popen(command, env=environment)  # noqa: S603 - the command is ours
        try:
            wait_until_healthy(server, path)
            question = {
                "model": "tiny",
                "messages": [{"role": "user", "content": "hi"}],
                "max_tokens": 4,
                "structured_outputs": {"choice": ["yes", "no"]},
            }
            status, answer = request(path, "POST", "/v1/chat/completions", question)
            if status != 200:
                sys.exit(f"the engine answered {status}: {answer.decode(errors='replace')[:500]}")
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()
