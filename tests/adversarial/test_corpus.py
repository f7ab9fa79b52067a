"""Every hostile thing is refused, for its own reason, and cheaply."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.adversarial import world
from tests.adversarial.corpus import MOST_MB, MOST_SECONDS, Hostile, Outcome
from tests.adversarial.measure import CORPUS
from tests.artifact_factory import make_artifact, make_keys
from tests.gate_rig import MODEL

FEWEST = 60


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name)
def test_a_hostile_thing_is_refused_for_its_reason_and_cheaply(
    hostile: Hostile, outcomes: Mapping[str, Outcome]
) -> None:
    met = outcomes[hostile.name]
    assert met.trace == ""
    assert met.code == hostile.code, met.message
    assert hostile.words in met.message
    assert met.peak_mb <= MOST_MB
    assert met.seconds <= MOST_SECONDS


def test_the_corpus_is_large_and_each_row_is_another(outcomes: Mapping[str, Outcome]) -> None:
    names = Counter(hostile.name for hostile in CORPUS)
    assert names.most_common(1)[0][1] == 1
    assert len(outcomes) == len(CORPUS) >= FEWEST


def test_no_refusal_shows_a_key_or_runs_on(outcomes: Mapping[str, Outcome]) -> None:
    for met in outcomes.values():
        assert "PRIVATE KEY" not in met.message
        assert len(met.message) < 4000, met.name


def test_what_the_store_becomes_after_the_pull_is_not_what_is_served(tmp_path: Path) -> None:
    """A file changed between verification and mount: what is mounted is the verified copy."""
    make_keys(tmp_path / "keys")
    source = make_artifact(tmp_path / "source")
    store = world.store(tmp_path)
    private = world.keys(tmp_path, "release").private
    store.publish(source, model=MODEL, version="1.0.0", private_key=private)
    pulled = store.pull(MODEL, "1.0.0", tmp_path / "pulled")
    served = {path.name: path.read_bytes() for path in pulled.folder.iterdir()}
    for path in world.version(tmp_path).iterdir():
        path.write_bytes(b"changed")
    assert {path.name: path.read_bytes() for path in pulled.folder.iterdir()} == served
    assert pulled.folder.parent.stat().st_mode & 0o077 == 0
    for path in pulled.folder.iterdir():
        assert path.stat().st_nlink == 1
        assert not os.access(path, os.W_OK) or os.geteuid() == 0
