"""The stand-in engine passes for vLLM with the real back end and the real client."""

import stat
import sys
from pathlib import Path

from assay.adapters.chat_aiohttp import AiohttpChat
from assay.adapters.server_process import ProcessServer
from assay.ports import AskLimits, Question
from assay.records import AnswerStatus, Prediction
from assay.task import Decoding
from tests import serving_rig

ENGINE = Path(__file__).with_name("stand_in_engine.py")


def test_it_starts_at_once_and_answers_constrained_and_streamed(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {ENGINE} "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    model = serving_rig.empty_model(tmp_path / "model")
    (model / "README.md").write_text("stand-in: fear=anger\n")
    request = serving_rig.request(model, tmp_path / "cache", python=str(python))
    questions = [
        Question(
            case_id=label,
            messages=[{"role": "user", "content": f"this is {label} to me"}],
            choices=("joy", "anger", "fear"),
            decoding=Decoding(mode="constrained", max_tokens=4),
        )
        for label in ("joy", "fear")
    ]
    limits, said = AskLimits(concurrency=2, request_timeout_s=10), list[Prediction]()
    with ProcessServer().launch(request) as server:
        running = server.wait_ready(lambda line: None)
        AiohttpChat().ask(running.endpoint, questions, limits, said.append, run_id="r")
        timed = AiohttpChat().load(
            running.endpoint, questions, limits, block=0, run_id="r", clock_zero_s=0.0
        )
    assert {one.case_id: one.raw for one in said} == {"joy": "joy", "fear": "anger"}
    assert {one.status for one in timed} == {AnswerStatus.OK}
    assert all(one.ttft_ms is not None for one in timed)
    assert all(one.gone for one in server.postconditions())
