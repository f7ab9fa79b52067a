"""Mail to a server that wants what real ones want: STARTTLS or TLS, a certificate, a password."""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from flows.settings import Settings
from tests.chaos.world import free_port
from tests.flows.test_notifying import told

# The library does not count TLS from the first byte on as TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

USER, PASSWORD = "assay", "correct horse battery"


class Kept(Sink):  # type: ignore[misc]
    """Keeps what arrives, and whether it came encrypted and with a password."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[tuple[Envelope, bool, bool]] = []

    async def handle_DATA(  # noqa: N802 - the library calls it by this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        encrypted = server.transport.get_extra_info("sslcontext") is not None
        self.mails.append((envelope, encrypted, bool(session.authenticated)))
        return "250 ok"


@dataclass(frozen=True, kw_only=True)
class Post:
    """A running mail server."""

    port: int
    kept: Kept


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: LoginPassword
) -> AuthResult:
    right = (given.login, given.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@pytest.fixture(params=["starttls", "ssl"])
def security(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def post(
    security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[bool], Post]]:
    """Starts a server; its certificate is of an authority that this machine trusts, or is not."""
    authority, running = trustme.CA(), []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    def start(trusted: bool) -> Post:
        if trusted:
            path = tmp_path / "authority.pem"
            authority.cert_pem.write_to_path(path)
            monkeypatch.setenv("SSL_CERT_FILE", str(path))
        kept = Kept()
        at_once = context if security == "ssl" else None
        later = {"tls_context": context, "require_starttls": True} if at_once is None else {}
        controller = Controller(
            kept,
            hostname="localhost",
            port=free_port(),
            ssl_context=at_once,
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=at_once is None,
            **later,
        )
        controller.start()
        running.append(controller)
        return Post(port=controller.port, kept=kept)

    yield start
    for controller in running:
        controller.stop()


def channel(port: int, security: str) -> str:
    return (
        f"{{kind: email, name: owners, host: localhost, port: {port}, security: {security}, "
        "sender: assay@example.org, to: [ada@example.org], user_env: WHO, password_env: WORD}"
    )


def test_mail_goes_encrypted_and_with_the_password(
    post: Callable[[bool], Post], security: str, configure: Callable[..., Settings]
) -> None:
    server = post(True)
    said, done, _ = told(configure(channel(server.port, security), WHO=USER, WORD=PASSWORD))
    assert [one.delivered for one in done] == [True], said
    ((envelope, encrypted, authenticated),) = server.kept.mails
    assert envelope.rcpt_tos == ["ada@example.org"]
    assert (encrypted, authenticated) == (True, True)


def test_a_wrong_password_is_a_note_without_it(
    post: Callable[[bool], Post], security: str, configure: Callable[..., Settings]
) -> None:
    server = post(True)
    settings = configure(channel(server.port, security), WHO=USER, WORD="wrong battery")
    said, done, _ = told(settings)
    assert [one.delivered for one in done] == [False]
    assert server.kept.mails == []
    written = (settings.home / "notifications.jsonl").read_text()
    assert "owners" in said[0]
    assert "wrong battery" not in said[0] + written


def test_a_certificate_that_nobody_vouches_for_gets_no_password(
    post: Callable[[bool], Post], security: str, configure: Callable[..., Settings]
) -> None:
    server = post(False)
    said, done, _ = told(configure(channel(server.port, security), WHO=USER, WORD=PASSWORD))
    assert [one.delivered for one in done] == [False]
    assert "owners" in said[0]
    assert server.kept.mails == []
