"""One prepared machine for the session: the first release takes a minute and is made once."""

import pytest

from tests.end_to_end.machine import ROOT, Machine, prepare


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with 1.0.0 in production, put there by a gate on real vLLM."""
    if not (ROOT / ".venv-serving/bin/python").exists():
        pytest.skip("no serving environment: run `make serving`")
    prepared = prepare(tmp_path_factory.mktemp("machine") / "home")
    first = prepared.gate("1.0.0", "process")
    assert first.code == 0, first.said
    return prepared
