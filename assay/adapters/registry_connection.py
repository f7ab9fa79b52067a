"""The way to MLflow: its client, how long a dead server may cost, and whose error an error is.

Decides the environment MLflow's library runs in, finds out within seconds that a server does not
answer, and turns every error of MLflow, its database and the network into an `InfrastructureError`
without credentials. What is stored is `registry_mlflow`'s.
"""

import logging
import os
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import httpx

from assay.errors import AssayError, InfrastructureError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
_ENVIRONMENT = {
    # MLflow's own defaults retry for four minutes; retrying is the gate's, and it waits less.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # Standard output belongs to the command line's one JSON document.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Artifacts go through the server: the bucket behind it may have no way in from here.
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
}
_PROBE = httpx.Timeout(10.0, connect=5.0)
_PROBE_FILE_S = 10.0


class MlflowConnection:
    """MLflow's client for one tracking URI, made at first use.

    Args:
        uri: `sqlite:///…` for a file of this machine, or the URL of a tracking server.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._client: MlflowClient | None = None

    @property
    def database(self) -> Path | None:
        """The SQLite file, or None when the registry is not a file of this machine."""
        if not self.uri.startswith(_SQLITE):
            return None
        return Path(self.uri.removeprefix(_SQLITE).partition("?")[0]).absolute()

    @property
    def client(self) -> "MlflowClient":
        """MLflow's client; only to be used inside `reaching`."""
        if self._client is None:
            for name, value in _ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient  # two seconds: only when a registry is really used

            if self.database is not None:
                self.database.parent.mkdir(parents=True, exist_ok=True)
                # A new database is a hundred lines of migrations, which are nobody's news.
                for name in ("alembic", "mlflow.store.db.utils"):
                    logging.getLogger(name).setLevel(logging.WARNING)
            self._client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        return self._client

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Turns errors of MLflow and of the way to it into ours; a dead server is noticed at once.

        Raises:
            InfrastructureError: MLflow cannot be reached, refuses, or fails.
        """
        self._probe()
        try:
            yield
        except AssayError:
            raise
        except Exception as error:  # the stores raise SQLAlchemy's, requests' and MLflow's own
            raise InfrastructureError(self._sentence(error)) from error

    def _probe(self) -> None:
        """Asks whether anything answers: MLflow's own timeouts would add up to minutes."""
        if self.database is not None:
            self._probe_file(self.database)
            return
        if urlsplit(self.uri).scheme not in ("http", "https"):
            return
        try:
            # Nothing is sent and nothing believed, so whose certificate it is does not matter here:
            # MLflow's requests check it by MLflow's own settings.
            httpx.get(self._bare() + "/health", timeout=_PROBE, verify=False)  # noqa: S501
        except (httpx.ConnectError, httpx.TimeoutException) as error:
            if not _is_about_tls(error):
                raise InfrastructureError(self._sentence(error)) from error
        except httpx.HTTPError:
            return  # it answers, in its own way

    def _probe_file(self, database: Path) -> None:
        """Opens the file as SQLite: MLflow would try to for more than a minute and a half."""
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(database, timeout=_PROBE_FILE_S)) as opened:
                opened.execute("PRAGMA schema_version").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise InfrastructureError(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = (lines[0] if lines else "no message").replace(self.uri, self._bare())
        return (
            f"MLflow at {self._bare()}: {type(error).__name__}: {said[:300]}; "
            f"{self._advice(said)}, then run the same command again"
        )

    def _advice(self, said: str) -> str:
        if self.database is not None:
            return f"check that {self.database} can be written and its disk has room"
        if "Invalid Host header" in said:
            return "add the name in MLFLOW_TRACKING_URI to the server's --allowed-hosts"
        if any(word in said for word in ("401", "403", "PERMISSION_DENIED", "UNAUTHENTICATED")):
            return "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        return "check that the tracking server runs and that MLFLOW_TRACKING_URI names it"

    def _bare(self) -> str:
        """The URI without user and password."""
        parts = urlsplit(self.uri)
        host = parts.netloc.rpartition("@")[2]
        return (
            urlunsplit((parts.scheme, host, parts.path, "", "")).rstrip("/") if host else self.uri
        )


def _is_about_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
