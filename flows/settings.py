"""Where things are on this machine: read once from the environment, never from the code.

==========================  ====================================  =============================
variable                    meaning                               default
==========================  ====================================  =============================
``ASSAY_HOME``              folder of everything a gate keeps     ``.assay``
``ASSAY_STORE``             root of the trusted store, any        ``<home>/store``
                            fsspec URL
``ASSAY_STORE_OPTIONS``     what its file system needs, as JSON   none
                            (``{"endpoint_url": …}``); keys
                            belong in the cloud's own variables
``ASSAY_CACHE_LIMIT``       what downloads may take on disk       ``20GiB``
                            between two gates
``ASSAY_TRUST``             the trusted public keys               ``trust.yaml``
``MLFLOW_TRACKING_URI``     the registry                          ``sqlite:///<home>/mlflow.db``
``ASSAY_WHO``               who asks, for the record              the login name
``ASSAY_SIGNING_KEY``       the gate's private key, which signs   ``<home>/gate.key``, where
                            its verdicts                          there is one
==========================  ====================================  =============================
"""

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.documents import parse_json
from assay.errors import ConfigError

_UNITS = ("", "KiB", "MiB", "GiB", "TiB")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(KiB|MiB|GiB|TiB)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where things are; every path is absolute."""

    home: Path
    store: str
    trust: Path
    tracking_uri: str
    who: str
    named_key: Path | None = None

    @property
    def signing_key(self) -> Path | None:
        """The key that signs this gate's verdicts; None where there is none."""
        made = self.home / "gate.key"
        return self.named_key or (made if made.exists() else None)

    @property
    def audit_log(self) -> Path:
        """What happened here, in order: verdicts, approvals, promotions."""
        return self.home / "audit.jsonl"

    @property
    def paused(self) -> Path:
        """Which Prefect run waits for people to approve which gate."""
        return self.home / "paused"

    @property
    def answers(self) -> Path:
        """Answers already paid for, one folder for each set of determining inputs."""
        return self.home / "answers"

    @property
    def reports(self) -> Path:
        """Evidence folders, one a gate."""
        return self.home / "reports"

    @property
    def locks(self) -> Path:
        """Lock files."""
        return self.home / "locks"

    @property
    def staging(self) -> Path:
        """Private copies of artifacts; each is removed by the gate that made it."""
        return self.home / "staging"

    @property
    def downloads(self) -> Path:
        """Files of a store that is elsewhere, by their digests."""
        return self.home / "downloads"

    @property
    def caches(self) -> Path:
        """The engine's compile caches."""
        return self.home / "caches"


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings from environment variables (the process's own if None)."""
    env = os.environ if environment is None else environment
    home = Path(env.get("ASSAY_HOME") or ".assay").absolute()
    store = env.get("ASSAY_STORE") or str(home / "store")
    return Settings(
        home=home,
        store=store if "://" in store else str(Path(store).absolute()),
        trust=Path(env.get("ASSAY_TRUST") or "trust.yaml").absolute(),
        tracking_uri=env.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}",
        who=env.get("ASSAY_WHO") or _login(),
        named_key=Path(key).absolute() if (key := env.get("ASSAY_SIGNING_KEY")) else None,
    )


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a passwd entry, as in many containers
        return f"uid-{os.getuid()}"
