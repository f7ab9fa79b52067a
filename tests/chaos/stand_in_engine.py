"""An engine that answers as vLLM does and is up in a moment, for tests that kill things.

    python3 stand_in_engine.py --model FOLDER --uds SOCKET --served-model-name NAME …

Needs the standard library alone, so it runs as a process and inside any image with Python, started
by the real back ends where they would start vLLM (whose other arguments it passes over). It speaks
health, version, models, metrics and chat completions, constrained and streamed, and asks for the
key in `VLLM_API_KEY`.

It knows the answers of questions that name one of the choices, and says that one. Lines of the
model's README.md decide where it errs: `stand-in: LABEL=WRONG` takes one label for another, and
`stand-in errors: SHARE SEED` errs on that share of the questions, the same ones each time;
`stand-in takes: MIB` makes the first constrained question cost so much memory.
Environment: `STAND_IN_DELAY_S` is how long an answer takes.

Every question that it answers is a line of `stand-in-questions` in the folder for caches, which
outlives the engine: a question that was paid for twice can be seen there.
"""

import hashlib
import json
import os
import re
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

KEY = os.environ.get("VLLM_API_KEY")
DELAY_S = float(os.environ.get("STAND_IN_DELAY_S", "0"))
VERSION = "0.32.0"


def argument(name: str) -> str:
    """Returns the value of one of vLLM's arguments."""
    return sys.argv[sys.argv.index(name) + 1]


def mistakes(model: Path) -> dict[str, str]:
    """Reads which labels this model takes for another."""
    readme = model / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    return dict(re.findall(r"^stand-in: (\w+)=(\w+)$", text, re.MULTILINE))


def errors(model: Path) -> tuple[float, str]:
    """Reads on which share of the questions this model errs, and by which seed."""
    readme = model / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    found = re.search(r"^stand-in errors: ([0-9.]+) (\S+)$", text, re.MULTILINE)
    return (float(found[1]), found[2]) if found else (0.0, "")


def appetite(model: Path) -> int:
    """Reads how many bytes this model takes at its first constrained question."""
    readme = model / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    found = re.search(r"^stand-in takes: ([0-9]+)$", text, re.MULTILINE)
    return int(found[1]) * 2**20 if found else 0


MODEL = Path(argument("--model"))
WRONG = mistakes(MODEL)
SHARE, SEED = errors(MODEL)
APPETITE, TAKEN = appetite(MODEL), list[bytes]()
NAME = argument("--served-model-name")
QUESTIONS = Path(os.environ.get("XDG_CACHE_HOME", "/nonexistent")) / "stand-in-questions"


def say(body: dict) -> str:
    """Returns the words for a question."""
    text = str(body["messages"][-1]["content"])
    choices = (body.get("structured_outputs") or {}).get("choice") or []
    if choices and APPETITE and not TAKEN:
        TAKEN.append(b"\x01" * APPETITE)
    named = [choice for choice in choices if re.search(rf"\b{re.escape(choice)}\b", text)]
    label = named[0] if named else (choices[0] if choices else "hello")
    if choices and chance(text) < SHARE:
        label = choices[(choices.index(label) + 1) % len(choices)]
    return WRONG.get(label, label)


def chance(text: str) -> float:
    """Returns a number in [0, 1) that follows from the seed and the question."""
    digest = hashlib.sha256(f"{SEED} {text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def note(body: dict) -> None:
    """Writes a question down: one write, so that lines of two engines do not mix."""
    line = json.dumps({"by": SEED, "text": str(body["messages"][-1]["content"])}) + "\n"
    if QUESTIONS.parent.is_dir():
        descriptor = os.open(QUESTIONS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(descriptor, line.encode())
        os.close(descriptor)


class Answers(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Health, version, models and metrics."""
        if self.path == "/health":
            self.reply(200, {})
        elif self.path == "/version":
            self.reply(200, {"version": VERSION})
        elif self.path == "/v1/models" and self.may():
            self.reply(200, {"object": "list", "data": [{"id": NAME, "object": "model"}]})
        elif self.path == "/metrics":
            self.send(200, "text/plain", b"vllm:num_requests_running 0.0\n")
        elif self.path != "/v1/models":
            self.reply(404, {"error": {"message": "no such page", "code": 404}})

    def do_POST(self) -> None:
        """A chat completion, in one piece or streamed."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.may():
            return
        time.sleep(DELAY_S)
        words = say(body)
        note(body)
        usage = {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9}
        if body.get("stream"):
            self.stream(words, usage)
            return
        message = {"role": "assistant", "content": words}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        self.reply(200, self.completion("chat.completion", choice) | {"usage": usage})

    def stream(self, words: str, usage: dict) -> None:
        """Sends the words as server-sent events."""
        deltas = ({"role": "assistant", "content": ""}, {"content": words}, {})
        lines = []
        for number, delta in enumerate(deltas):
            reason = "stop" if number == len(deltas) - 1 else None
            choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
            lines.append(self.completion("chat.completion.chunk", choice))
        lines.append({**lines[-1], "choices": [], "usage": usage})
        events = [f"data: {json.dumps(line)}\n\n" for line in lines] + ["data: [DONE]\n\n"]
        self.send(200, "text/event-stream", "".join(events).encode())

    def completion(self, kind: str, choice: dict) -> dict:
        """Returns the frame of an answer."""
        request = self.headers.get("X-Request-Id", "none")
        return {
            "id": f"chatcmpl-{request}",
            "object": kind,
            "created": int(time.time()),
            "model": NAME,
            "choices": [choice],
        }

    def may(self) -> bool:
        """Whether the caller has the key; answers 401 if not."""
        if KEY is None or self.headers.get("Authorization") == f"Bearer {KEY}":
            return True
        self.reply(401, {"error": "Unauthorized"})
        return False

    def reply(self, status: int, body: dict) -> None:
        """Sends JSON."""
        self.send(status, "application/json", json.dumps(body).encode())

    def send(self, status: int, kind: str, data: bytes) -> None:
        """Sends bytes."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    def address_string(self) -> str:
        """A unix socket has no address."""
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Many connections at once, on a unix socket."""

    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    print("Starting to load model", flush=True)
    Server(argument("--uds"), Answers).serve_forever()
