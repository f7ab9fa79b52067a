"""Continues a run where a kill has left it, with the very same inputs or not at all.

Decides what "the same" is: the documents, the tools, the golden set, the probes, the artifacts and
(until everything is measured) what is in production. Leaves to the journal what is on disk, and to
`conduct` what happens next. A changed input is a `ConfigError` that says which: half of a run with
one policy and half with another would be a verdict about neither.
"""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from assay import digests, evidence
from assay.documents import describe, parse_json, read_text
from assay.errors import ConfigError
from assay.golden_set import golden_digest
from assay.records import ArtifactRef, PromotionOutcome, RegisteredVersion, Role, Verdict
from assay.verdict_document import ArtifactDocument, verdict_from_json
from evaluators.judgement import RawAnswers
from flows import journal as journals
from flows.conclude import GateResult, registered_document, tool_versions
from flows.gathering import Baseline
from flows.journal import Journal, MeasuredEvent, Opened, RegisteredDocument, Settled
from flows.measure import Measured
from flows.rejudge import model_files, read_answers
from flows.request import Documents, GateRequest
from flows.settings import Settings

VERDICT = "verdict.json"
_MEASURED = "measured"
_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_PLACES = ("policy", "task", "serving", "production_serving", "report_dir")
_REQUEST = TypeAdapter(GateRequest)


# --- the request ------------------------------------------------------------------------------


def opened(
    run_id: str, request: GateRequest, documents: Documents, *, who: str, started_at: str
) -> Opened:
    """Returns the first event of a run."""
    return Opened(
        run_id=run_id,
        who=who,
        request=_REQUEST.dump_python(absolute(request), mode="json"),
        documents=document_digests(documents),
        tools=tool_versions(),
        started_at=started_at,
    )


def request_of(settings: Settings, run_id: str) -> GateRequest:
    """Returns what a run was asked for.

    Raises:
        ConfigError: there is no such run, or its journal is not one of this version.
    """
    event = _opened(settings, run_id)
    try:
        return _REQUEST.validate_python(event.request)
    except ValidationError as error:
        raise ConfigError(
            f"{settings.runs / run_id}: {describe(error)}; the run was begun by another version of "
            "Assay; begin a new one"
        ) from None


def folder_of(settings: Settings, run_id: str) -> Path:
    """Returns a run's folder.

    Raises:
        ConfigError: there is no such run; names the latest that can be continued.
    """
    folder = settings.runs / run_id
    if _RUN_ID.fullmatch(run_id) and (folder / journals.JOURNAL).is_file():
        return folder
    left = unfinished(settings)[-5:]
    known = f"to be continued: {', '.join(left)}" if left else "none is left to be continued"
    raise ConfigError(
        f"--resume {run_id!r}: no such run in {settings.runs}; {known}; name one of them, or leave "
        "--resume out"
    )


def unfinished(settings: Settings) -> list[str]:
    """Returns the runs that no process works on and that have not finished, oldest first."""
    found = []
    for path in sorted(settings.runs.glob(f"*/{journals.JOURNAL}")):
        try:
            events = list(journals.read_events(path))
        except ConfigError:
            continue
        ended = any(isinstance(event, journals.Finished) for event in events)
        if events and not ended and not journals.is_held(path.parent):
            found.append(path.parent.name)
    return found


def absolute(request: GateRequest) -> GateRequest:
    """Returns the request with the paths of its documents made absolute."""
    changed = {
        name: value.absolute()
        for name in _PLACES
        if (value := getattr(request, name, None)) is not None
    }
    return replace(request, **changed)


def document_digests(documents: Documents) -> dict[str, str]:
    """Returns the digests of the documents a run is judged by; layout does not change them."""
    found = {
        "policy": documents.policy.digest,
        "task": documents.task.digest,
        "serving": documents.serving.digest,
    }
    if documents.production_profile is not None:
        found["production_serving"] = digests.of_json(documents.production_profile.settings)
    return found


def check_opened(begun: Opened, request: GateRequest, documents: Documents) -> None:
    """Makes sure that a run goes on with what it began with.

    Raises:
        ConfigError: says what has changed since.
    """
    asked = _REQUEST.dump_python(absolute(request), mode="json")
    changed = _differing(begun.request, asked)
    if changed:
        raise _changed(begun.run_id, changed, "it keeps the request it began with: leave them out")
    changed = _differing(begun.documents, document_digests(documents))
    if changed:
        where = ", ".join(f"{name} ({begun.request.get(name)})" for name in changed)
        raise _changed(begun.run_id, [where], "restore what it began with, or begin a new run")
    changed = _differing(begun.tools, tool_versions())
    if changed:
        raise _changed(begun.run_id, changed, "begin a new run: answers stored are used again")


# --- what was gathered ------------------------------------------------------------------------


def check_gathered(
    run_id: str, known: journals.Gathered, baseline: Baseline, *, measured: bool
) -> None:
    """Makes sure that golden set, probes and production are those the run began with.

    Raises:
        ConfigError: says which is not.
    """
    changed = []
    if known.golden != baseline.golden.digest:
        changed.append(f"the golden set ({known.golden[:19]}… → {baseline.golden.digest[:19]}…)")
    if known.probes != golden_digest(baseline.probes):
        changed.append("the probes")
    now = registered_document(baseline.production)
    if not measured and (now and now.digest) != (known.production and known.production.digest):
        was = known.production.version if known.production else "nothing"
        changed.append(f"production ({was} → {now.version if now else 'nothing'})")
    if changed:
        raise _changed(run_id, changed, "begin a new run, which judges against what is there now")


def check_verified(
    run_id: str, known: journals.Verified, found: Mapping[Role, ArtifactRef]
) -> None:
    """Makes sure that the pulled artifacts are those the run began with.

    Raises:
        ConfigError: a version in the store is another artifact now.
    """
    then = {Role.CANDIDATE: known.candidate, Role.PRODUCTION: known.production}
    changed = [
        f"{role.value} {ref.version}"
        for role, ref in found.items()
        if (was := then[role]) is None or was.digest != ref.digest
    ]
    if changed:
        raise _changed(run_id, changed, "begin a new run")


# --- what was measured ------------------------------------------------------------------------


def store_measured(folder: Path, measured: Measured) -> dict[str, str]:
    """Writes everything that was measured beside the journal; returns path → digest."""
    home = folder / _MEASURED
    found = {role.value: answers for role, answers in measured.answers.items()}
    if measured.anchor is not None:
        found[evidence.ANCHOR] = measured.anchor
    for name, answers in found.items():
        evidence.write_answers(
            home / name, **{one.name: getattr(answers, one.name) for one in fields(answers)}
        )
    journals.sync_tree(home)
    return {
        path.relative_to(folder).as_posix(): digests.of_file(path)
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def load_measured(folder: Path, event: MeasuredEvent) -> Measured:
    """Reads back what was measured.

    Raises:
        ConfigError: a file is missing or was changed.
    """
    for name, digest in event.files.items():
        path = folder / name
        if not path.is_file() or digests.of_file(path) != digest:
            raise ConfigError(
                f"{path}: is not what this run stored; expected {digest}; begin a new run"
            )
    context = event.context.to_record()
    if context.engine is None:
        raise ConfigError(f"{folder}: the journal names no engine; begin a new run")
    home = folder / _MEASURED
    answers: dict[Role, RawAnswers] = {}
    for role in Role:
        if (home / role.value).is_dir():
            answers[role] = read_answers(model_files(home / role.value))
    anchor = home / evidence.ANCHOR
    return Measured(
        answers=answers,
        engine=context.engine,
        production_engine=context.production_engine,
        anchor=read_answers(model_files(anchor)) if anchor.is_dir() else None,
    )


# --- its end ----------------------------------------------------------------------------------


def result(journal: Journal) -> GateResult | None:
    """Returns the recorded result of a finished run, or None while there is something left to do.

    Raises:
        ConfigError: the verdict beside the journal is missing or is none.
    """
    finished = journal.last(journals.Finished)
    if finished is None:
        return None
    return GateResult(
        verdict=stored_verdict(journal),
        evidence_dir=Path(finished.evidence),
        recorded_as=finished.recorded_as,
        promotion=outcome(journal.last(Settled)),
        reused=finished.reused,
    )


def finished_result(settings: Settings, run_id: str) -> GateResult | None:
    """Returns the result of a finished run by its id; see `result`."""
    with Journal(folder_of(settings, run_id)) as journal:
        return result(journal)


def stored_verdict(journal: Journal) -> Verdict:
    """Returns the verdict that lies beside a journal."""
    path = journal.folder / VERDICT
    return verdict_from_json(parse_json(read_text(path), str(path)), str(path))


def outcome(settled: Settled | None) -> PromotionOutcome | None:
    """Returns what became of the alias, as a record."""
    if settled is None:
        return None
    return PromotionOutcome(
        moved=settled.moved,
        reason=settled.reason,
        production=registered(settled.production),
        previous=registered(settled.previous),
    )


def registered(document: RegisteredDocument | None) -> RegisteredVersion | None:
    """Returns a version as a record."""
    return None if document is None else RegisteredVersion(**document.model_dump())


def artifact_document(ref: ArtifactRef | None) -> ArtifactDocument | None:
    """Returns an artifact as the journal holds it."""
    if ref is None:
        return None
    return ArtifactDocument(model=ref.model, version=ref.version, digest=ref.digest)


def iso(moment: datetime) -> str:
    """Returns a time as records hold it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _opened(settings: Settings, run_id: str) -> Opened:
    path = folder_of(settings, run_id) / journals.JOURNAL
    first = next(journals.read_events(path), None)
    if not isinstance(first, Opened) or first.run_id != run_id:
        raise ConfigError(
            f"{path}: does not begin with the opening of run {run_id}; begin a new one"
        )
    return first


def _differing(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return sorted(n for n in before.keys() | now.keys() if before.get(n) != now.get(n))


def _changed(run_id: str, what: list[str], action: str) -> ConfigError:
    return ConfigError(
        f"--resume {run_id}: {', '.join(what)} changed since the run began; expected the same; "
        f"{action}"
    )
