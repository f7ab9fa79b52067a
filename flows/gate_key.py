"""The gate's own key, made and listed by one command.

Decides where the key goes and how the trust file is edited: one entry is added, everything else in
it, comments included, stays as it is, and the file is replaced only by one that reads well.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ConfigError
from assay.trust import trusted_key
from assay.verdict_trust import VerdictTrust
from flows.settings import Settings

_SECTION = "gates:"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateKey:
    """A new key pair, and the entry of the trust file that lists it."""

    private: Path
    public: Path
    entry: str


def make_gate_key(
    settings: Settings, private: Path | None = None, public: Path | None = None
) -> GateKey:
    """Makes the key that signs this gate's verdicts, and lists it in the trust file.

    Args:
        settings: where the home folder and the trust file are.
        private: where the private key goes; by default where a gate finds it by itself.
        public: where the public key goes; by default beside the trust file.

    Raises:
        ConfigError: a key is there already, or the trust file has to be edited by hand.
    """
    from assay.adapters.signer_dsse import generate_keypair

    private = private or settings.home / "gate.key"
    public = public or settings.trust.parent / "gate.pub"
    for path in (private, public):
        path.parent.mkdir(parents=True, exist_ok=True)
    generate_keypair(private, public)
    key_id = trusted_key(public, name="gate").key_id
    place = os.path.relpath(public.absolute(), settings.trust.parent)
    entry = f"  - {{name: gate-{key_id[:8]}, public_key: {json.dumps(place)}}}"
    _list(settings.trust, entry, public)
    return GateKey(private=private, public=public, entry=entry.strip())


def _list(trust: Path, entry: str, public: Path) -> None:
    text = trust.read_text(encoding="utf-8") if trust.exists() else "schema_version: 1\n"
    partial = trust.with_name(trust.name + ".partial")
    partial.write_text(_with(text, entry), encoding="utf-8")
    try:
        VerdictTrust.load(partial)
    except ConfigError as error:
        partial.unlink()
        raise ConfigError(
            f"{trust}: the new key could not be listed in it ({error}); the key is made: add this "
            f"line below `{_SECTION}` by hand, for {public}:\n{entry}"
        ) from None
    partial.replace(trust)


def _with(text: str, entry: str) -> str:
    """Returns a trust file's text with one more gate."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.split("#")[0].rstrip() == _SECTION:
            return "\n".join([*lines[: number + 1], entry, *lines[number + 1 :]]) + "\n"
    return "\n".join([*lines, _SECTION, entry]) + "\n"
