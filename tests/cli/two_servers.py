"""Two servers that somebody else runs, and a project folder to gate them from."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.cli_desk import SECRET, Desk
from tests.openai_server import OpenAIServer, Reply, Say

if TYPE_CHECKING:
    from tests.cli.conftest import Outcome

EACH = 40
"""Cases of a label: a gate asks each of two servers for every one of them."""
POLICY = """
schema_version: 1
first_release: refuse
replicates: 999
evaluators:
  emotion_f1: {margin: 0.3, macro_margin: 0.2, minimum_support: 20}
  validity: {max_invalid_rate: 0.1, margin: 0.1}
"""


Answers = Callable[[dict[str, Any]], Reply]


def knows(desk: Desk, **wrong: str) -> Answers:
    """Answers as the golden set says, but for the labels named: `fear="anger"`."""
    labels = {case["text"]: case["label"] for case in desk.cases}

    def script(body: dict[str, Any]) -> Reply:
        label = labels.get(body["messages"][-1]["content"], "joy")
        return Say(words=wrong.get(label, label))

    return script


def gate(*more: str) -> list[str]:
    return ["gate", "emotion", "1.1.0", "--golden", "golden.jsonl", *more]


def endpoints(candidate: OpenAIServer | str, production: OpenAIServer | str) -> list[str]:
    urls = [u if isinstance(u, str) else u.endpoint.base_url for u in (candidate, production)]
    return ["--backend", "endpoint", "--candidate-url", urls[0], "--production-url", urls[1]]


Serve = Callable[..., OpenAIServer]


def assert_unmeasured(done: "Outcome", *words: str) -> None:
    assert (done.code, done.document["verdict"]) == (12, "invalid"), done.err
    for word in words:
        assert word in done.reason
    assert done.document["findings"] == []
    assert SECRET not in done.out + done.err
