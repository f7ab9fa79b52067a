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
``ASSAY_DEVICE_LOCKS``      folder of the queues for this         ``<tmp>/assay-<uid>``
                            machine's devices; one that all
                            users can write, if several gate
``ASSAY_SIGNING_KEY``       the gate's private key, which signs   ``<home>/gate.key``, where
                            its verdicts                          there is one
``ASSAY_NOTIFICATIONS``     who is told what became of a          ``notifications.yaml``, where
                            release                               there is one
==========================  ====================================  =============================
"""

import getpass
import os
import re
import tempfile
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
    store_options: Mapping[str, Any] = field(default_factory=dict)
    cache_limit_bytes: int = 20 * 2**30
    named_key: Path | None = None
    devices: Path | None = None
    notifications: Path | None = None

    @property
    def runs(self) -> Path:
        """Run journals, one folder a gate."""
        return self.home / "runs"

    @property
    def device_locks(self) -> Path:
        """Lock files of this machine's devices: shared by every gate that might use them."""
        return self.devices or self.locks

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
        store_options=_options(env.get("ASSAY_STORE_OPTIONS") or "{}"),
        cache_limit_bytes=_size(env.get("ASSAY_CACHE_LIMIT") or "20GiB"),
        devices=Path(env.get("ASSAY_DEVICE_LOCKS") or _shared_folder()).absolute(),
        named_key=Path(key).absolute() if (key := env.get("ASSAY_SIGNING_KEY")) else None,
        notifications=_notifications(env.get("ASSAY_NOTIFICATIONS")),
    )


def _notifications(named: str | None) -> Path | None:
    """Returns the file, which need not exist where it is not named."""
    path = Path(named or "notifications.yaml").absolute()
    return path if named or path.is_file() else None


def _options(text: str) -> dict[str, Any]:
    value = parse_json(text, "ASSAY_STORE_OPTIONS")
    if not isinstance(value, dict):
        raise ConfigError(
            f"ASSAY_STORE_OPTIONS: found {type(value).__name__!r}, expected a JSON object such as "
            '{"endpoint_url": "https://s3.example.org"}; correct the variable'
        )
    return value


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"ASSAY_CACHE_LIMIT: found {text!r}, expected a number of bytes with or without KiB, "
            "MiB, GiB or TiB, such as '20GiB'; correct the variable"
        )
    return int(float(found[1]) * 2 ** (10 * _UNITS.index(found[2] or "")))


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a passwd entry, as in many containers
        return f"uid-{os.getuid()}"


def _shared_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"assay-{os.getuid()}"
