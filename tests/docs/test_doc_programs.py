"""The documentation's commands of other programs, run as they are written.

What stands for what: a bucket of an S3 server that is started here, a port that is free.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.doc_commands import ROOT, Shown, run_in
from tests.docs.made_already import BIN, clean_environment, old
from tests.flows.golden_repo import IDENTITY, make_repository
from tests.s3_rig import ENVIRONMENT, s3_server

COMMANDS = run_in("programs")


def of(*words: str) -> Callable[[Shown], bool]:
    def is_it(command: Shown) -> bool:
        return command.words[: len(words)] == words

    return is_it


def chosen(is_it: Callable[[Shown], bool]) -> list[Shown]:
    return [command for command in COMMANDS if is_it(command)]


def run(
    words: Sequence[str], folder: Path, *, timeout_s: float = 120, **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs a program; fails with what it said."""
    if shutil.which(words[0], path=f"{BIN}:{os.environ['PATH']}") is None:
        pytest.skip(f"no {words[0]} here: .ci/run installs it")
    done = subprocess.run(
        list(words),
        cwd=folder,
        env=clean_environment() | more,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_every_command_is_run_here() -> None:
    groups = [
        *(of("dvc"), of("promtool"), of("pip"), of("cp"), of("curl"), of("make", "setup")),
        *(of("make", "mlflow"), of("make", "test"), of("make", "test-fast")),
    ]
    assert sorted(c.text for group in groups for c in chosen(group)) == [c.text for c in COMMANDS]


def test_a_team_s_bucket_takes_the_frozen_files(tmp_path: Path) -> None:
    make_repository(tmp_path / "clone", "../remote")
    with s3_server(tmp_path / "s3") as server:
        bucket = server.bucket()
        stands_for = {"BUCKET": bucket, "https://STORAGE.EXAMPLE": server.url}
        for group in (of("dvc", "remote", "add"), of("dvc", "remote", "modify"), of("dvc", "push")):
            (command,) = chosen(group)
            words = list(command.words)
            if "add" in words:  # the repository has one of this name, in a folder
                words.insert(words.index("add") + 1, "--force")
            for name, value in stands_for.items():
                words = [word.replace(name, value) for word in words]
            run(words, tmp_path / "clone", **ENVIRONMENT, **IDENTITY)
        pushed = server.files().find(f"{bucket}/assay-golden")
    assert len(pushed) == len(("golden.jsonl", "probes.jsonl"))


@pytest.mark.parametrize("command", chosen(of("promtool")), ids=lambda command: command.text)
def test_the_alerts_are_what_promtool_accepts(command: Shown) -> None:
    assert "SUCCESS" in run(command.words, ROOT).stdout


@pytest.mark.parametrize("command", chosen(of("pip")), ids=lambda command: command.text)
def test_pip_finds_what_the_page_installs(command: Shown) -> None:
    """Resolved for real; `--dry-run`, because the tests run in this environment."""
    done = run([*command.words, "--dry-run", "--disable-pip-version-check"], ROOT)
    assert "s3fs" in done.stdout


@pytest.mark.parametrize("command", chosen(of("cp")), ids=lambda command: command.text)
def test_the_copied_settings_name_every_secret_that_compose_asks_for(
    command: Shown, tmp_path: Path
) -> None:
    folder = tmp_path / "mlflow"
    shutil.copytree(ROOT / "mlflow", folder)
    (folder / ".env").unlink(missing_ok=True)
    run(command.words, folder)
    named = set(re.findall(r"^(\w+)=", (folder / ".env").read_text(), re.MULTILINE))
    asked = set(re.findall(r"\$\{(\w+):\?", (folder / "compose.yaml").read_text()))
    assert asked
    assert asked <= named


@contextmanager
def mlflow_server(home: Path) -> Iterator[str]:
    """Runs `make mlflow` on a free port until the block ends; yields the server's URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (command,) = chosen(of("make", "mlflow"))
    log = home.with_suffix(".log")
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command.words, *old(), f"PORT={port}"],
            cwd=ROOT,
            env=clean_environment() | {"ASSAY_HOME": str(home)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 60
        while "startup complete" not in log.read_text().lower():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 9)
        server.wait(20)


def test_the_local_server_is_up_and_says_so(tmp_path: Path) -> None:
    (asked,) = chosen(of("curl"))
    with mlflow_server(tmp_path / "home") as url:
        words = [word.replace("$MLFLOW_TRACKING_URI", url) for word in asked.words]
        assert run(words, tmp_path).stdout == "OK"


def test_setting_up_again_changes_nothing() -> None:
    (command,) = chosen(of("make", "setup"))
    before = (BIN.parent / ".installed").stat().st_mtime_ns
    run(command.words, ROOT)
    assert (BIN.parent / ".installed").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "command",
    [*chosen(of("make", "test")), *chosen(of("make", "test-fast"))],
    ids=lambda command: command.text,
)
def test_the_tests_can_be_chosen_and_are_run_in_their_phases(command: Shown) -> None:
    one = "tests/assay/test_rates.py"
    done = run([*command.words, *old(), f"PYTEST_ARGS=-p no:cacheprovider {one}"], ROOT)
    assert re.search(r"\d+ passed", done.stdout)
    assert "failed" not in done.stdout
