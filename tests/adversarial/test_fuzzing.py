"""Readers meet what is nearly right: they read it or refuse it, and nothing else happens.

Each reader gets mutations of a document that it accepts (`mutations`). Only an AssayError may come
out, within seconds, and the process does not grow. `ASSAY_FUZZ_EXAMPLES` says how many mutations a
reader gets; beyond the usual number they are drawn anew each time.
"""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.errors import AssayError
from tests.adversarial.fuzz_targets import Target, targets
from tests.adversarial.mutations import near

USUAL = 100
EXAMPLES = int(os.environ.get("ASSAY_FUZZ_EXAMPLES", USUAL))
PATIENCE_S = 20
MOST_GROWTH_MB = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def known(folder: Path) -> dict[str, Target]:
    return {target.name: target for target in targets(folder)}


@pytest.fixture(scope="module")
def reader(known: dict[str, Target]) -> Callable[[str], Target]:
    """A reader by its name; as a function, so that a failing test does not print all of them."""
    return known.__getitem__


@pytest.fixture(scope="module", autouse=True)
def bounded_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MOST_GROWTH_MB


@contextmanager
def patience() -> Iterator[None]:
    """Ends a reader that does not come back."""

    def lost(*_: object) -> None:
        raise TimeoutError(f"no answer within {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, lost)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


NAMES = (
    "policy", "task", "serving", "tune", "relabel", "load profile", "release envelope",
    "signed release", "signed approval", "trust", "manifest", "metadata", "artifact document",
    "model configuration", "weights", "chat template", "golden set", "probes", "predictions",
    "latency samples", "engine samples", "timed requests", "metrics", "Trivy report",
    "Grype report", "compose file", "Kubernetes manifest", "run context", "verdict",
    "verdict statement", "audit log", "run journal", "Label Studio export", "Argilla export",
    "flat export", "answer ledger", "case history", "proposal", "feedback",
)  # fmt: skip


def test_every_reader_is_fuzzed(known: dict[str, Target]) -> None:
    assert sorted(known) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
@settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES == USUAL,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_a_reader_reads_or_refuses_what_is_nearly_right(
    name: str, reader: Callable[[str], Target], folder: Path, data: st.DataObject
) -> None:
    target = reader(name)
    path = folder / target.file
    path.write_bytes(data.draw(near(target.valid, target.write)))
    with patience(), suppress(AssayError):
        target.read(path)
