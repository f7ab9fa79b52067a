"""The tracking server of `mlflow/compose.yaml` without Docker: its own words, real parts.

Command, environment, password file, bucket and health checks are read from the compose file, so a
test of this server is a test of that file. What a machine without images must change is changed
here, and a place that is no longer found in the file is an error: host names become 127.0.0.1, and
ports free ones. PostgreSQL is Debian's, in a cluster of its own under an unprivileged user; the
bucket is moto's server.
"""

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import yaml

from tests.s3_rig import S3Server, s3_server

FOLDER = Path(__file__).parents[1] / "mlflow"
PYTHON = {"python": sys.executable, "mlflow": str(Path(sys.executable).with_name("mlflow"))}


def postgres_programs() -> Path | None:
    """Returns the folder of PostgreSQL's server programs, which Debian keeps off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    linked = shutil.which("initdb")
    return found[-1].parent if found else Path(linked).resolve().parent if linked else None


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Fills in `${NAME}`, `${NAME:-default}` and `${NAME:?message}` as Compose does."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if values.get(name):
            return values[name]
        assert kind != ":?", f"{name} is required: {rest}"
        return rest if kind == ":-" else ""

    return re.sub(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}", value, text)


def filled_example() -> dict[str, str]:
    """Returns `.env.example` with every empty secret drawn, as its first line asks for."""
    lines = (FOLDER / ".env.example").read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return {name: value or secrets.token_hex(24) for name, value in pairs}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The compose file with its values, and what stands for its hosts on this machine."""

    values: Mapping[str, str]
    port: int
    postgres_port: int
    content: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        filled = interpolated((FOLDER / "compose.yaml").read_text(), self.values)
        object.__setattr__(self, "content", yaml.safe_load(filled))

    def command(self, service: str) -> list[str]:
        """Returns a service's command, to be run on this machine."""
        first, *rest = self.content["services"][service]["command"]
        return [PYTHON[first], *(self._here(word) for word in rest)]

    def environment(self, service: str) -> dict[str, str]:
        """Returns what a service's process sees beside the machine's own variables."""
        stated = self.content["services"][service]["environment"]
        return {name: str(value) for name, value in stated.items()}

    def health_command(self) -> list[str]:
        """Returns the tracking server's health check."""
        kind, first, *rest = self.content["services"]["mlflow"]["healthcheck"]["test"]
        assert kind == "CMD"
        return [PYTHON[first], rest[0], self._swap("127.0.0.1:5000", self.address, rest[1])]

    def config(self, name: str) -> str:
        """Returns the content of one of its configuration files."""
        return self._swap(
            "@postgres:5432", self._database, self.content["configs"][name]["content"]
        )

    @property
    def address(self) -> str:
        """Where the tracking server answers."""
        return f"127.0.0.1:{self.port}"

    @property
    def _database(self) -> str:
        return f"@127.0.0.1:{self.postgres_port}"

    def _here(self, word: str) -> str:
        if word.startswith("--backend-store-uri="):
            return self._swap("@postgres:5432", self._database, word)
        if word.startswith("--host="):
            return self._swap("0.0.0.0", "127.0.0.1", word)
        if word.startswith("--port="):
            return self._swap("5000", str(self.port), word)
        return word

    @staticmethod
    def _swap(old: str, new: str, text: str) -> str:
        assert old in text, f"mlflow/compose.yaml: expected {old!r} in {text!r}"
        return text.replace(old, new)


@dataclass(frozen=True, slots=True)
class TeamServer:
    """The running server, and the ways around it that a test needs."""

    uri: str
    recipe: Recipe
    s3: S3Server
    log: Path

    @property
    def admin(self) -> dict[str, str]:
        """What a gate needs in its environment."""
        return {
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": self.recipe.values["MLFLOW_ADMIN_PASSWORD"],
        }

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Asks the database itself."""
        with _connected(self.recipe, "mlflow") as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def objects(self) -> list[str]:
        """Returns the keys in the bucket."""
        bucket = self.recipe.environment("bucket")["S3_BUCKET"]
        return [str(key).removeprefix(f"{bucket}/") for key in self.s3.files().find(bucket)]


@contextmanager
def team_server(folder: Path) -> Iterator[TeamServer]:
    """Starts the bucket, the database and the tracking server, in the compose file's order."""
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_server(folder / "s3"))
        values = filled_example() | {"S3_ENDPOINT": s3.url, "MLFLOW_WORKERS": "1"}
        recipe = Recipe(values, _free_port(), _free_port())
        stack.enter_context(_postgres(recipe))
        subprocess.run(
            recipe.command("bucket"),
            env=os.environ | recipe.environment("bucket"),
            check=True,
            timeout=60,
        )
        auth = folder / "auth.ini"
        auth.write_text(recipe.config("auth"))
        environment = recipe.environment("mlflow") | {"MLFLOW_AUTH_CONFIG_PATH": str(auth)}
        log = folder / "mlflow.log"
        command = recipe.command("mlflow")
        ready = lambda: httpx.get(f"http://{recipe.address}/health", timeout=2).is_success  # noqa: E731
        (folder / "empty").mkdir()  # where it stands, so that what it leaves there is seen
        stack.enter_context(_running(command, log, ready, cwd=folder / "empty", env=environment))
        yield TeamServer(f"http://{recipe.address}", recipe, s3, log)


@contextmanager
def _postgres(recipe: Recipe) -> Iterator[None]:
    """Runs a cluster of its own with the users and names that the compose file states."""
    programs = postgres_programs()
    assert programs is not None
    stated = recipe.environment("postgres")
    with tempfile.TemporaryDirectory(prefix="assay-pg-", dir="/tmp") as place:
        folder, owner = Path(place), _unprivileged()
        (folder / "password").write_text(stated["POSTGRES_PASSWORD"])
        if owner:
            for path in (folder, folder / "password"):
                shutil.chown(path, owner["user"], owner["group"])
        made = [str(programs / "initdb"), "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        made += ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
        made += [f"--username={stated['POSTGRES_USER']}", str(folder / "data")]
        subprocess.run(made, cwd=folder, check=True, capture_output=True, timeout=120, **owner)
        command = [str(programs / "postgres"), "-D", str(folder / "data"), "-F"]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", f"port={recipe.postgres_port}"]
        command += ["-c", f"unix_socket_directories={folder}"]
        asked = recipe.content["services"]["postgres"]["healthcheck"]["test"]
        healthy = [str(programs / asked[1]), *asked[2:], "--host=127.0.0.1"]
        healthy += [f"--port={recipe.postgres_port}"]

        def ready() -> bool:
            return subprocess.run(healthy, capture_output=True, check=False).returncode == 0

        log = Path(tempfile.mkstemp(prefix="assay-pg-")[1])
        try:
            with _running(command, log, ready, cwd=folder, **owner):
                with _connected(recipe, "postgres") as connection, connection.cursor() as cursor:
                    cursor.execute(f"CREATE DATABASE {stated['POSTGRES_DB']}")
                yield
        finally:
            log.unlink()


def _unprivileged() -> dict[str, Any]:
    """Returns how to run as somebody who is not root, which PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def _connected(recipe: Recipe, database: str) -> Iterator[Any]:
    stated = recipe.environment("postgres")
    connection = psycopg2.connect(
        host="127.0.0.1",
        port=recipe.postgres_port,
        user=stated["POSTGRES_USER"],
        password=stated["POSTGRES_PASSWORD"],
        dbname=database,
    )
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _running(
    command: list[str], log: Path, ready: Callable[[], bool], **options: Any
) -> Iterator[None]:
    """Runs a server until the block ends; SIGINT is what PostgreSQL calls a fast shutdown."""
    environment = os.environ | options.pop("env", {})
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
            **options,
        )
    try:
        _wait(process, ready, log)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=20)


def _wait(process: "subprocess.Popen[bytes]", ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"{process.args} is not ready:\n{log.read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
