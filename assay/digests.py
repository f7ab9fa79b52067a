"""Canonical bytes and their digests: the identities that every other room compares.

Digests are written `sha256:<64 hex digits>`. Canonical JSON is RFC 8785 (JCS), so that two
programs that hold the same value hold the same bytes.
"""

import hashlib
from pathlib import Path
from typing import Any

import rfc8785


def of_bytes(data: bytes) -> str:
    """Returns the digest of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def of_json(value: Any) -> str:
    """Returns the digest of a JSON value's canonical form (RFC 8785).

    Raises:
        rfc8785.CanonicalizationError: the value holds a NaN, an infinity or something not JSON.
    """
    return of_bytes(canonical_json(value))


def canonical_json(value: Any) -> bytes:
    """Returns the canonical JSON bytes of a value (RFC 8785)."""
    return rfc8785.dumps(value)


def of_file(path: Path) -> str:
    """Returns the digest of a file's bytes, read once in chunks."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def text_sha256(text: str) -> str:
    """Returns the hex SHA-256 of a text's UTF-8 bytes, which stands in for it in evidence."""
    return hashlib.sha256(text.encode()).hexdigest()
