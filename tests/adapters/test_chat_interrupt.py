"""Ctrl-C while asking: out at once, the session closed, the answers so far kept and resumable."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.predictions import AnswerFile
from tests.openai_server import OpenAIServer, Say

PROGRAM = """
import sys
from pathlib import Path
from assay.adapters.chat_{client} import {name}
from assay.ports import AskLimits, Question
from assay.predictions import AnswerFile
from assay.records import Endpoint
from assay.task import Decoding

questions = [
    Question(case_id=f"c{{i}}", messages=[{{"role": "user", "content": "hello"}}], choices=None,
             decoding=Decoding(mode="free"))
    for i in range(10_000)
]
endpoint = Endpoint(base_url=sys.argv[1], model="tiny")
with AnswerFile(Path(sys.argv[2])) as file:
    try:
        {name}().ask(endpoint, questions, AskLimits(concurrency=8, request_timeout_s=30.0),
                     file.append, run_id="run-1")
    except KeyboardInterrupt:
        print("interrupted")
        raise SystemExit(130)
"""


@pytest.mark.parametrize(("client", "name"), [("aiohttp", "AiohttpChat"), ("openai", "OpenAIChat")])
def test_ctrl_c_comes_out_at_once(tmp_path: Path, client: str, name: str) -> None:
    path = tmp_path / "answers.jsonl"
    with OpenAIServer(script=lambda body: Say(words="joy", first_token_s=0.05)) as server:
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-c", PROGRAM.format(client=client, name=name),
             server.endpoint.base_url, str(path)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while len(server.bodies) < 50 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        out, err = process.communicate(timeout=20)
        took = time.monotonic() - sent
    assert process.returncode == 130, err
    assert out == "interrupted\n"
    assert "Unclosed" not in err
    assert "never retrieved" not in err
    assert took < 5
    with AnswerFile(path) as file:
        assert 30 <= len(file.done) <= len(server.bodies)
