"""Policies, tasks and contexts that are wrong: exit 2, with file, line, fault and remedy.

Somebody has to edit a file, so nothing is judged and there is no verdict document.
"""

from typing import Any

import pytest

from tests.cli.conftest import Assay
from tests.cli_desk import POLICY, TASK, Desk

BASE = "schema_version: 1\nevaluators:\n  emotion_f1: {}\n"
F1 = "schema_version: 1\nevaluators:\n  emotion_f1: {%s}\n"
LATENCY = "schema_version: 1\nevaluators:\n  latency: {%s}\n"

ANY_YAML: list[tuple[str, str, str]] = [
    ("empty", "", "holds nothing"),
    ("only comments", "# nothing\n", "holds nothing"),
    ("a list", "- a\n", "expected a mapping of fields, found 'list'"),
    ("a sentence", "hello\n", "expected a mapping of fields, found 'str'"),
    ("a tab", "schema_version: 1\nevaluators:\n\temotion_f1: {}\n", ":3: not valid YAML"),
    (
        "a key given twice",
        BASE + "evaluators: {}\n",
        ":4: not valid YAML (key 'evaluators' appears",
    ),
    ("a merge key", "a: &a {b: 1}\nc: {<<: *a}\n", ":2: not valid YAML (merge keys"),
    ("a list as key", "? [a]\n: 1\n", ":1: not valid YAML (a key is a list"),
    ("a document that holds itself", "&a [*a]\n", ":1: not valid YAML (an alias names a part"),
    ("two documents", BASE + "---\n" + BASE, ":4: not valid YAML (expected a single document"),
    ("a Python object", "a: !!python/object:os.system x\n", ":1: not valid YAML"),
    ("no number", "a: !!int many\n", ":1: not valid YAML (invalid literal"),
    ("no day", BASE + "a: 2026-02-30\n", ":4: not valid YAML (day is out of range"),
    ("a NUL", "a: \0\n", "not valid YAML (unacceptable character"),
    ("deep nesting", "a: " + "[" * 3000, "not valid YAML (nested too deeply)"),
    ("numbers as keys", "1: 2\n", "1: Keys should be strings"),
    ("an unknown field", BASE + "treshold: 3\n", "treshold: Extra inputs"),
    ("another version", BASE.replace(": 1", ": 7"), "schema_version: Input should be 1, found 7"),
]
POLICIES: list[tuple[str, str, str]] = [
    ("an unknown evaluator", BASE.replace("emotion_f1", "acuracy"), "'acuracy' is not an evaluato"),
    ("a module that is none", BASE.replace("emotion_f1", "base"), "'base' is not an evaluator"),
    ("an unknown option", F1 % "margn: 0.1", "'margn' is not an option; expected one of 'margin'"),
    ("an unknown class", F1 % "margins: {hapiness: 0.1}", "'hapiness' is not a class; expected on"),
    ("an unknown metric", LATENCY % "objectives: {speed: 3}", "evaluators.latency: objectives.spe"),
    ("an unknown scorer", BASE.replace("emotion_f1: {}", "toxicity: {scorer: x}"), "scorer 'x' is"),
    ("no evaluator", "schema_version: 1\nevaluators: {}\n", "evaluators: Dictionary should have a"),
    ("a list of evaluators", "schema_version: 1\nevaluators: [emotion_f1]\n", "expected a mapping"),
    ("an evaluator of nothing", BASE.replace("{}", ""), "evaluators.emotion_f1: expected a mappin"),
    ("alpha of nothing", BASE + "alpha: 0\n", "alpha: Input should be greater than 0, found 0"),
    ("alpha of a half", BASE + "alpha: 0.5\n", "alpha: Input should be less than 0.5, found 0.5"),
    ("alpha that is no number", BASE + "alpha: .nan\n", "alpha: Input should be less than 0.5, fo"),
    ("alpha in words", BASE + "alpha: small\n", "alpha: Input should be a valid number"),
    ("a margin as wide as F1", F1 % "margin: 1", "margin: Input should be less than 1, found 1"),
    ("a margin of nothing", F1 % "margin: 0", "margin: Input should be greater than 0, found 0"),
    ("a negative margin", F1 % "macro_margin: -0.1", "macro_margin: Input should be greater than"),
    ("a floor nobody reaches", F1 % "floor: 1.5", "floor: Input should be less than 1, found 1.5"),
    ("an endless objective", LATENCY % "objectives: {ttft_p99_ms: .inf}", "ttft_p99_ms: found inf"),
    ("a ratio that forbids being equal", LATENCY % "max_ratio: {ttft_p95_ms: 1}", "greater than 1"),
    ("too few draws", BASE + "replicates: 10\n", "replicates: Input should be greater"),
    ("an unknown back end", BASE + "backends_that_may_promote: [cloud]\n", "found 'cloud'"),
    ("a freeze that ends first",
     BASE + "freeze_windows: [{start: 2026-02-02, until: 2026-02-01, reason: x}]\n",
     "freeze_windows.0: until must not lie before start"),
]  # fmt: skip
TASKS: list[tuple[str, str, str]] = [
    ("one label", TASK.replace("[joy, anger, fear]", "[joy]"), "labels: Tuple should have at leas"),
    ("a label twice", TASK.replace("fear]", "Joy]"), "labels: labels must differ"),
    ("a label that YAML reads as true", TASK.replace("fear]", "yes]"), "labels.2: Input should be"),
    ("a reserved label", TASK.replace("fear]", "macro]"), "reserved"),
    ("a label a terminal obeys", TASK.replace("fear]", '"a\\e[2J"]'), "must not hold control"),
    ("a message that asks nothing", TASK.replace('"{text}"', '"hi"'), "must contain {text} exactl"),
    ("an unknown role", TASK.replace("role: user", "role: boss"), "messages.0.role"),
    ("an unknown decoding", TASK.replace("constrained", "json"), "decoding.mode: Input should be"),
    ("no answer allowed", TASK.replace("max_tokens: 4", "max_tokens: 0"), "decoding.max_tokens"),
    ("no readiness question", TASK.replace("readiness_text: hello", ""), "readiness_text: Field r"),
]  # fmt: skip


def named(faults: list[tuple[str, str, str]]) -> list[Any]:
    return [pytest.param(text, words, id=name) for name, text, words in faults]


@pytest.mark.parametrize(("text", "words"), named(ANY_YAML + POLICIES))
def test_a_policy_that_is_not_one(assay: Assay, desk: Desk, text: str, words: str) -> None:
    desk.write("strict.yaml", text)
    done = assay(*desk.judge("--json", "--policy", "strict.yaml"))
    assert done.code == 2
    assert done.error.startswith("strict.yaml")
    assert words in done.error
    assert "\n" not in done.error
    checked = assay("policy", "check", "strict.yaml", "--golden", "golden.jsonl", "--json")
    assert (checked.code, checked.error) == (2, done.error)


@pytest.mark.parametrize(("text", "words"), named(ANY_YAML + TASKS))
def test_a_task_that_is_not_one(assay: Assay, desk: Desk, text: str, words: str) -> None:
    desk.write("task.yaml", text)
    done = assay(*desk.judge("--json"))
    assert done.code == 2
    assert done.error.startswith("task.yaml")
    assert words in done.error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("[]", "expected a mapping"),
        ('{"run_id": "a", "run_id": "b"}', "key 'run_id' appears twice"),
        ('{"run_id": "a", "weather": "fine"}', "weather: Extra inputs"),
        ('\ufeff{"run_id": "a"}', "byte order mark"),
    ],
)
def test_a_context_that_is_not_one(assay: Assay, desk: Desk, text: str, words: str) -> None:
    desk.write("run.json", text)
    done = assay(*desk.judge("--json", "--context", "run.json"))
    assert done.code == 2
    assert done.error.startswith("run.json")
    assert words in done.error


@pytest.mark.parametrize("name", ["policy.yaml", "task.yaml"])
def test_windows_files_say_the_same(assay: Assay, desk: Desk, name: str) -> None:
    first = assay(*desk.judge("--json"))
    text = (desk.folder / name).read_bytes()
    desk.write(name, b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert assay(*desk.judge("--json")).out == first.out


def test_values_shared_by_an_anchor_are_read(assay: Assay, desk: Desk) -> None:
    desk.write("policy.yaml", POLICY.replace("margin: 0.1, macro_margin: 0.05", "margin: &m 0.1, "
               "macro_margin: *m"))  # fmt: skip
    done = assay(*desk.judge("--json"))
    assert done.code == 0
    assert {f["margin"] for f in done.document["findings"] if f["kind"] == "non_inferiority"
            and f["gating"]} == {0.1}  # fmt: skip


def test_a_policy_that_multiplies_itself_costs_nothing(assay: Assay, desk: Desk) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    desk.write("policy.yaml", "\n".join(lines))
    done = assay(*desk.judge("--json"))
    assert done.code == 2
    assert len(done.error) < 10_000
