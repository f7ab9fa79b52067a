"""Sends a notice as a signed webhook: once, without following anybody elsewhere."""

import time
from collections.abc import Mapping

import httpx2

from assay.errors import InfrastructureError
from assay.notifications.configuration import WebhookChannel, read_url, read_variable
from assay.notifications.notice import Notice
from assay.notifications.webhook import body_of, read_secret, signed_headers


def send_webhook(
    channel: WebhookChannel, notice: Notice, *, environment: Mapping[str, str], timeout_s: float
) -> None:
    """Posts a notice.

    Raises:
        ConfigError: the URL or the secret is not set, or not usable.
        InfrastructureError: nobody answered in time, or not with a status of 200 to 299.
    """
    url = read_url(channel, environment)
    where = f"channel {channel.name!r}: {channel.secret_env}"
    secret = read_secret(read_variable(channel.secret_env, environment, channel.name), where)
    body = body_of(notice)
    headers = signed_headers(notice.id, int(time.time()), body, secret)
    try:
        response = httpx2.post(
            url,
            content=body,
            headers={"content-type": "application/json", "user-agent": "assay"} | headers,
            timeout=timeout_s,
            follow_redirects=False,  # a signed message is for the address that was configured
        )
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        # The error's own words may quote the URL, which may be a secret.
        raise InfrastructureError(
            f"channel {channel.name!r}: {type(error).__name__}; expected an answer from the "
            f"address in {channel.url_env}; see that it listens and can be reached from here"
        ) from None
    if not response.is_success:
        raise InfrastructureError(
            f"channel {channel.name!r}: answered HTTP {response.status_code}, expected 200 to 299; "
            f"see the receiver's log, and that {channel.url_env} and {channel.secret_env} are its"
        )
