"""`assay approve` and `assay override`: people sign with keys of their own.

Both print the signed statement to stdout, so that it can be carried to the machine or the form
where a run waits; where the run waits on this machine, it goes on by itself.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.completion import run_names
from assay.cli.output import print_bytes, results_only, say
from assay.errors import ConfigError

if TYPE_CHECKING:
    from flows.approval import Signed
    from flows.settings import Settings

Run = Annotated[
    str,
    typer.Argument(help="A run of this machine, or an evidence folder.", autocompletion=run_names),
]
Key = Annotated[Path, typer.Option("--key", help="Your own private key.")]


def approve(
    run: Run,
    key: Key,
    reason: Annotated[str | None, typer.Option(help="A word to the record.")] = None,
) -> None:
    """Signs your approval of a promote, and lets a run that waits for it go on.

    Example: assay approve 20261123T151200Z-1f2e3d4c --key ~/.assay/ada.key
    """
    from flows.approval import evidence_folder, sign_approval
    from flows.settings import from_environment

    settings = from_environment()
    folder = evidence_folder(run, settings)
    signed = sign_approval(folder, key, settings, datetime.now(UTC), reason)
    _done("approval", signed, settings)


def override(
    run: Run,
    key: Key,
    findings: Annotated[str, typer.Option(help="Every metric that did not pass, comma-separated.")],
    reason: Annotated[str, typer.Option(help="Why it is released all the same.")],
    expires: Annotated[str, typer.Option(help="When it ends: ISO 8601 (UTC), or days: 3d.")],
) -> None:
    """Signs your override of a verdict that is no promote; it takes two different people.

    Example: assay override RUN --findings emotion_f1/fear,emotion_f1/macro --reason "…" --expires
    3d --key ada.key
    """
    from flows.approval import evidence_folder, sign_override
    from flows.settings import from_environment

    settings, now = from_environment(), datetime.now(UTC)
    folder = evidence_folder(run, settings)
    signed = sign_override(
        folder,
        key,
        settings,
        now,
        findings=tuple(name.strip() for name in findings.split(",") if name.strip()),
        reason=reason.strip(),
        expires_at=_moment(expires, now),
    )
    _done("override", signed, settings)


def _done(kind: str, signed: "Signed", settings: "Settings") -> None:
    from flows.approval_pause import resume

    say(f"{kind} signed and put beside the evidence: {signed.path}")
    say(f"signed by {' and '.join(signed.people)} so far")
    with results_only():
        resumed = resume(signed.run_id, signed.envelope, settings)
    say(resumed or "no run waits for it here; run the same gate again, which looks at it")
    print_bytes(signed.envelope)


def _moment(text: str, now: datetime) -> datetime:
    """Reads `3d`, a date or a date and time; without a zone it is UTC."""
    try:
        if text.endswith("d") and text[:-1].isdigit():
            return now + timedelta(days=int(text[:-1]))
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"--expires: found {text!r}; expected a date (2026-12-01), a date and time or a number "
            "of days (3d); correct it"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
