"""Hostile documents: what could be written where somebody's configuration is read."""

import json
from collections.abc import Callable
from pathlib import Path

from assay.golden_set import load_golden
from assay.policy import load_policy
from assay.predictions import read_predictions
from assay.serving_audit_files import read_containers
from assay.serving_profile import load_serving
from assay.task import load_task
from assay.trust import TrustedKeys
from assay.vulnerabilities import read_scan
from evaluators.registry import build as build_evaluators
from tests.adversarial.corpus import Hostile
from tests.artifact_factory import make_keys

BASE = "schema_version: 1\nevaluators:\n  emotion_f1: {}\n"
F1 = "schema_version: 1\nevaluators:\n  emotion_f1: {%s}\n"
TASK = (
    "schema_version: 1\nname: t\nlabels: [joy, anger]\nreadiness_text: x\n"
    'messages: [{role: user, content: "{text}"}]\ndecoding: {mode: constrained}\n'
)
SERVING = "schema_version: 1\nprofiles:\n  cpu: {image: i, limits: {memory_gib: 1}%s}\n"
Readers = dict[str, Callable[[Path], object]]
READERS: Readers = {
    "policy": load_policy,
    "task": load_task,
    "serving": load_serving,
    "trust": TrustedKeys.load,
    "compose": read_containers,
    "scan": read_scan,
    "golden": lambda path: load_golden(path, ["joy", "anger"]),
    "predictions": read_predictions,
    "evaluators": lambda path: build_evaluators(load_policy(path), load_task(path.parent / "task")),
}


def write(kind: str, content: str | bytes | Callable[[Path], object]) -> Callable[[Path], object]:
    def build(folder: Path) -> None:
        make_keys(folder, "k")
        (folder / "task").write_text(TASK)
        path = folder / kind
        if callable(content):
            content(path)
        else:
            data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
            path.write_bytes(data)

    return build


def row(
    kind: str, name: str, content: str | bytes | Callable[[Path], object], words: str = ""
) -> Hostile:
    return Hostile(
        name=f"{kind}: {name}",
        code="config",
        build=write(kind, content),
        meet=lambda folder: READERS[kind](folder / kind),
        words=words,
    )


def billion_laughs(head: str, last: str) -> str:
    rows = [f"{head}a0: &a0 {{x: 1}}"]
    rows += [
        f"{head}a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(9))}}}"
        for n in range(1, 12)
    ]
    return "\n".join([*rows, last])


def long_lines(
    piece: bytes, times: int, head: bytes = b"", tail: bytes = b""
) -> Callable[..., object]:
    def build(path: Path) -> None:
        with path.open("wb") as stream:
            stream.write(head)
            for _ in range(times):
                stream.write(piece)
            stream.write(tail)

    return build


def argument(*words: str) -> str:
    return SERVING % f", arguments: {json.dumps(words)}"


def variable(name: str) -> str:
    return SERVING % f", environment: {{{name}: '1'}}"


ALL = [
    row("policy", "aliases that multiply", billion_laughs("  ", "").replace(
        "  a0", "schema_version: 1\nevaluators:\n  a0", 1), "more than"),
    row("policy", "an alias of itself", BASE + "load: &l {x: *l}\n", "lies in"),
    row("policy", "an object of Python", "a: !!python/object/apply:os.system ['true']\n"),
    row("policy", "a module of Python", "a: !!python/module:os\n"),
    row("policy", "a key given twice", BASE + "alpha: 0.01\nalpha: 0.4\n", "appears twice"),
    row("policy", "a merge", "a: &a {alpha: 0.4}\nb: {<<: *a}\n", "merge keys"),
    row("policy", "alpha that is no number", BASE + "alpha: .nan\n", "alpha"),
    row("policy", "an evaluator's NaN", F1 % "margin: .nan", "margin"),
    row("policy", "an evaluator's infinity", F1 % "margin: .inf", "margin"),
    row("policy", "a hexadecimal number of a megabyte", BASE + f"replicates: 0x{'F' * 500_000}\n"),
    row("policy", "a number in base sixty without end", BASE + f"repeats: 1{':1' * 200_000}\n"),
    row("policy", "a number of four thousand digits", BASE + f"repeats: {'9' * 4000}\n"),
    row("policy", "a truth that is none", "a: !!bool maybe\n"),
    row("policy", "a time that is none", "a: !!timestamp x\n"),
    row("policy", "a number that is none", 'a: !!int ""\n'),
    row("policy", "a character beyond Unicode", 'a: "\\UFFFFFFFF"\n'),
    row("policy", "half a character", 'schema_version: "\\uD800"\n'),
    row("policy", "a version of YAML without end", f"%YAML 1.{'1' * 5000}\n---\na: 1\n"),
    row("policy", "bytes", F1 % "margin: !!binary /w=="),
    row("policy", "fifty thousand levels", "{a: " * 50_000),
    row("policy", "a document of 64 mebibytes", long_lines(b"# x\n", 2**24)),
    row("policy", "UTF-16", BASE.encode("utf-16")),
    row("policy", "a right-to-left override in a key", BASE + '"\u202eahpla": 0.4\n'),
    row("policy", "alpha spelt with a Greek letter", BASE + "\u03b1lpha: 0.4\n"),
    row("evaluators", "a module that is none of ours", BASE.replace("emotion_f1", "os")),
    row("evaluators", "a path for an evaluator", BASE.replace("emotion_f1", '"../../x"')),
    row("evaluators", "a private module", BASE.replace("emotion_f1", "__init__")),
    row("task", "labels that look alike", TASK.replace("[joy, anger]", "[joy, JOY]")),
    row("task", "a label that a terminal obeys", TASK.replace("[joy, anger]", '[joy, "\\e[2J"]')),
    row("task", "a label that is written backwards",
        TASK.replace("[joy, anger]", '[joy, "\u202eregna"]')),
    row("task", "no text asked", TASK.replace("{text}", "x")),
    row("task", "tokens without end",
        TASK.replace("constrained}", "constrained, max_tokens: 9e9}")),
    row("serving", "remote code", argument("--trust-remote-code"), "not allowed"),
    row("serving", "remote code, with underscores", argument("--trust_remote_code"), "not allowed"),
    row("serving", "remote code, cut short", argument("--trust-rem"), "not allowed"),
    row("serving", "remote code, with a value", argument("--trust-remote-code=1"), "not allowed"),
    row("serving", "a host", argument("--host", "0.0.0.0"), "not allowed"),
    row("serving", "a model from elsewhere", argument("--mod=x/y"), "not allowed"),
    row("serving", "a chat template from elsewhere", argument("--chat-template=/tmp/x"), "not all"),
    row("serving", "templates of requests", argument("--trust-request-chat-template"), "not all"),
    row("serving", "prompt embeddings", argument("--enable-prompt-embeds"), "not allowed"),
    row("serving", "adapters", argument("--enable-lora"), "not allowed"),
    row("serving", "local files as media", argument("--allowed-local-media-path=/"), "not allowed"),
    row("serving", "a key on the command line", argument("--api-key", "x"), "not allowed"),
    row("serving", "another configuration file", argument("--config", "x.yaml"), "not allowed"),
    row("serving", "the developers' endpoints", variable("VLLM_SERVER_DEV_MODE"), "not allowed"),
    row("serving", "pickles over the wire", variable("VLLM_ALLOW_INSECURE_SERIALIZATION")),
    row("serving", "the gate's own key", variable("VLLM_API_KEY"), "not allowed"),
    row("serving", "memory without end",
        SERVING.replace("memory_gib: 1", "memory_gib: .inf") % ""),
    row("trust", "a key that is not there",
        "schema_version: 1\nkeys: [{name: k, public_key: x}]\n"),
    row("trust", "a private key", "schema_version: 1\nkeys: [{name: k, public_key: k.key}]\n"),
    row("trust", "a device for a key",
        "schema_version: 1\nkeys: [{name: k, public_key: /proc/self/mem}]\n"),
    row("trust", "the same key twice",
        "schema_version: 1\nkeys: [{name: a, public_key: k.pub}, {name: b, public_key: k.pub}]\n"),
    row("trust", "a validity that ends first", "schema_version: 1\nkeys: [{name: k, public_key: "
        "k.pub, valid_from: 2027-01-01T00:00:00Z, valid_until: 2026-01-01T00:00:00Z}]\n"),
    row("trust", "nobody", "schema_version: 1\nkeys: []\n"),
    row("compose", "aliases that multiply", billion_laughs("x-", "services: {}")
        .replace("services: {}", "servicez: {a: *a11}")),
    row("compose", "a character beyond Unicode", 'services: {a: {image: "\\UFFFFFFFF"}}\n'),
    row("scan", "a report of six million findings",
        long_lines(b'{"a":1},', 6_000_000, b"[", b"1]")),
    row("scan", "a report of 128 mebibytes", long_lines(b" " * 2**20, 128)),
    row("scan", "a report of nothing", '{"Metadata": {}, "Results": []}'),
    row("golden", "a line of ten million lists", long_lines(b"[],", 10_000_000, b"[", b"[]]\n")),
    row("golden", "a line of a million levels", long_lines(b"[", 1_000_000)),
    row("golden", "an id that a terminal obeys", json.dumps({"id": "\x1b[2J"}) + "\n"),
    row("predictions", "a key given twice", '{"case_id": "a", "case_id": "b"}\n'),
    row("predictions", "NaN for a time", '{"case_id": "a", "label": null, "status": "ok", "raw": '
        '"x", "e2e_ms": NaN}\n'),
]  # fmt: skip
