"""Meets the corpus once a session, in processes of its own, and counts it at the end."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.adversarial.corpus import Outcome
from tests.summary import tell

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Outcome]:
    """What became of each row, by its name."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.adversarial.measure", str(tmp_path_factory.mktemp("met"))],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    met = tuple(Outcome(**told) for told in json.loads(done.stdout))
    tell(request.config, _counted(met))
    return {outcome.name: outcome for outcome in met}


def _counted(met: Sequence[Outcome]) -> str:
    """Says how many hostile things were met, and what the dearest of them cost."""
    refused = sum(outcome.code is not None for outcome in met)
    return (
        f"adversarial corpus: {len(met)} hostile inputs, {refused} refused with a reason code "
        f"({len({outcome.code for outcome in met})} different); at most "
        f"{max(o.peak_mb for o in met):.0f} MB resident and "
        f"{max(o.seconds for o in met):.1f} s of CPU"
    )
