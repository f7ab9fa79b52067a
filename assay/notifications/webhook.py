"""A notice as a signed document, in the form of Standard Webhooks 1.0 (standardwebhooks.com).

Decides the body, the headers and the signature, so that a receiver checks them with a published
library of its own language. Signed is `<id>.<timestamp>.<body>`, by HMAC-SHA256: whoever replays
an old message cannot give it a new time.
"""

import base64
import binascii
import hashlib
import hmac
import json

from assay.errors import ConfigError
from assay.notifications.notice import Notice

_PREFIX = "whsec_"
_SHORTEST = 24
"""Bytes of a secret, by the standard's section on signature schemes."""


def body_of(notice: Notice) -> bytes:
    """Returns the document that is sent, and signed, as bytes."""
    return json.dumps(notice.to_json(), ensure_ascii=False, separators=(",", ":")).encode()


def read_secret(text: str, where: str) -> bytes:
    """Returns a secret's bytes: of `whsec_` and base64 what that stands for, else as it is.

    Raises:
        ConfigError: shorter than 24 bytes, or not base64 after `whsec_`; never quotes it.
    """
    try:
        secret = (
            base64.b64decode(text.removeprefix(_PREFIX), validate=True)
            if text.startswith(_PREFIX)
            else text.encode()
        )
    except binascii.Error:
        raise ConfigError(
            f"{where}: the secret begins with {_PREFIX!r} and what follows is not base64; expected "
            "what the receiver gave you; set it again"
        ) from None
    if len(secret) < _SHORTEST:
        raise ConfigError(
            f"{where}: the secret has {len(secret)} bytes, expected at least {_SHORTEST}; make one "
            "with `openssl rand -base64 32`"
        )
    return secret


def signed_headers(notice_id: str, timestamp: int, body: bytes, secret: bytes) -> dict[str, str]:
    """Returns the headers that a receiver checks.

    Args:
        notice_id: the same whenever the same notice is sent again.
        timestamp: seconds since 1970, when it is sent.
        body: the very bytes that are sent.
        secret: shared with the receiver.
    """
    signed = b".".join([notice_id.encode(), str(timestamp).encode(), body])
    code = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{code}",
    }
