"""`conduct_review`: from what production and a gate said to a folder that people work through.

Decides the order of things; what is drawn is decided by `assay.review`, what the manifest says of
it by `review_manifest`, where it goes by the adapters. A push that fails leaves the finished
folder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from assay import digests
from assay.adapters import labelling_exports as exports
from assay.adapters.labelling_feedback import read_lines
from assay.adapters.labelling_label_studio import Pushed
from assay.errors import ConfigError
from assay.golden_set import GoldenSet
from assay.ports import GoldenSource
from assay.relabelling.identities import opaque_name
from assay.relabelling.policy import RelabelPolicy, load_relabel_policy
from assay.review.admission import Admission, Asked, ReviewItem
from assay.review.manifest import ReviewManifest
from assay.review.policy import HONEYPOT, ReviewPolicy, load_review_policy
from assay.review.requests import Rejected, Request, join_requests
from assay.review.selection import Pool, select
from assay.review.tasks import flat_row, identity_row, label_studio_task, labelling_config
from assay.seeds import seed_from
from assay.task import Task, load_task
from flows.relabel_request import annotator_salt
from flows.review_evidence import Heard, heard_of_nothing, read_evidence
from flows.review_manifest import Said, manifest_of
from flows.settings import Settings

_RELABEL = Path("relabel.yaml")

Progress = Callable[[str], None]
Push = Callable[[Path, ReviewPolicy], Pushed]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRequest:
    """What is to be looked at.

    `relabel` None: `relabel.yaml` of the working folder, or its defaults where there is none; what
    ingestion would refuse by it is not asked about. `out` None: `reviews` in Assay's home.
    """

    policy: Path = Path("review.yaml")
    relabel: Path | None = None
    task: Path = Path("task.yaml")
    golden: str | None = None
    evidence: Path | None = None
    feedback: tuple[Path, ...] = ()
    traffic: tuple[Path, ...] = ()
    budget: int | None = None
    seed: int | None = None
    out: Path | None = None
    push: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewResult:
    """What was written. `folder` None: there was nothing (left) to ask about."""

    folder: Path | None
    manifest: ReviewManifest
    pushed: Pushed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Material:
    """Everything read, and the digests of the files it was read from."""

    task: Task
    policy: ReviewPolicy
    ingestion: RelabelPolicy
    golden: GoldenSet
    heard: Heard
    traffic: tuple[Request, ...]
    feedback: tuple[Request, ...]
    rejected: tuple[Rejected, ...]
    inputs: Mapping[str, str]


def load_review_documents(request: ReviewRequest) -> tuple[Task, ReviewPolicy]:
    """Reads the documents, so that a wrong one is said before anything else is looked at.

    Raises:
        ConfigError: names the file and the field, or the flag.
    """
    policy = load_review_policy(request.policy)
    if request.budget is not None:
        if not 1 <= request.budget <= 100_000:
            raise ConfigError(f"--budget {request.budget}: expected 1 to 100000; correct it")
        policy = policy.model_copy(update={"budget": request.budget})
    if request.seed is not None and not 0 <= request.seed < 2**64:
        raise ConfigError(f"--seed {request.seed}: expected 0 to 2^64 - 1; correct it")
    if request.evidence is None and not request.feedback and not request.traffic:
        raise ConfigError(
            "nothing to choose from: name an evidence folder, --feedback files or --traffic files"
        )
    return load_task(request.task), policy


def conduct_review(
    request: ReviewRequest,
    *,
    settings: Settings,
    golden: GoldenSource,
    push: Push | None,
    now: Callable[[], datetime],
    progress: Progress,
) -> ReviewResult:
    """Exports what people should look at next, and pushes it where a server is configured.

    Args:
        request: what is to be looked at.
        settings: where things are.
        golden: reads the golden set.
        push: takes the finished folder to a server; None leaves it here.
        now: the clock, in UTC.
        progress: takes one line a step.

    Raises:
        AssayError: a file is wrong, the evidence was changed, another export is writing; or the
            push failed, after the folder was written.
    """
    material = _read(request, golden, progress)
    root = request.out or exports.default_root(settings.home)
    salt = annotator_salt(settings)
    with exports.exclusive(root):
        asked = exports.read_asked(root)
        result = _export(request, material, asked, root, who=settings.who, at=now(), salt=salt)
    if result.folder is None:
        progress("nothing is left to ask about")
        return result
    progress(f"{result.manifest.texts} texts written to {result.folder}")
    if push is None or not request.push or material.policy.label_studio is None:
        return result
    pushed = push(result.folder, material.policy)
    progress(f"{pushed.added} tasks pushed to project {pushed.project} of {pushed.url}")
    return replace(result, pushed=pushed)


def _read(request: ReviewRequest, source: GoldenSource, progress: Progress) -> _Material:
    task, policy = load_review_documents(request)
    ingestion = _ingestion_rules(request.relabel)
    files = _files(request)
    before = {name: digests.of_file(path) for name, path in files.items() if path.is_file()}
    golden = source.load(request.golden, task.labels)
    heard = heard_of_nothing(golden)
    if request.evidence is not None:
        heard = read_evidence(request.evidence, golden, task)
    traffic, bad = join_requests(
        read_lines(request.traffic), labels=task.labels, policy=policy, signalled=False
    )
    feedback, more = join_requests(
        read_lines(request.feedback), labels=task.labels, policy=policy, signalled=True
    )
    for name, path in files.items():
        if before.get(name) != digests.of_file(path):
            raise ConfigError(f"{path}: changed while it was read; run it again when it is whole")
    progress(
        f"{len(traffic)} requests of traffic, {len(feedback)} with feedback, "
        f"{len(bad) + len(more)} lines rejected"
    )
    inputs = {
        "policy": digests.of_json(policy.model_dump(mode="json")),
        "ingestion": digests.of_json(ingestion.model_dump(mode="json")),
        "task": task.digest,
        "golden": golden.digest,
    }
    return _Material(
        task=task,
        policy=policy,
        ingestion=ingestion,
        golden=golden,
        heard=heard,
        traffic=traffic,
        feedback=feedback,
        rejected=(*bad, *more),
        inputs=inputs | before,
    )


def _ingestion_rules(path: Path | None) -> RelabelPolicy:
    if path is None and not _RELABEL.is_file():
        return RelabelPolicy()
    return load_relabel_policy(path or _RELABEL)


def _files(request: ReviewRequest) -> dict[str, Path]:
    named = [("traffic", path) for path in request.traffic]
    named += [("feedback", path) for path in request.feedback]
    if request.evidence is not None:
        named.append(("evidence", request.evidence / "SHA256SUMS"))
    return {f"{kind}/{at}/{path.name}": path for at, (kind, path) in enumerate(named)}


def _export(
    request: ReviewRequest,
    material: _Material,
    asked: Asked,
    root: Path,
    *,
    who: str,
    at: datetime,
    salt: bytes,
) -> ReviewResult:
    heard, policy = material.heard, material.policy
    inputs = dict(material.inputs)
    inputs["asked"] = digests.of_json([sorted(asked.ids), sorted(asked.keys)])
    seed = request.seed if request.seed is not None else seed_from(sorted(inputs.values()))
    name = f"review-{digests.of_json([inputs, f'{seed:016x}'])[7:19]}"
    admission = Admission(
        policy=policy, asked=asked, model_version="production", ingestion=material.ingestion
    )
    admission.know_golden(material.golden.cases)
    pool = Pool(
        traffic=material.traffic,
        feedback=material.feedback,
        golden=material.golden.cases,
        doubts=heard.doubts,
        sound=heard.sound,
        orders=heard.orders,
        answers=heard.production,
        version=heard.version,
    )
    chosen = select(pool, policy, admission, seed)
    files = _contents(chosen.items, material, name, salt)
    said = Said(
        name=name,
        who=who,
        at=at,
        seed=seed,
        inputs=inputs,
        files={file: digests.of_bytes(content) for file, content in files.items()},
        rejected=len(material.rejected),
        notes=heard.notes,
    )
    manifest = manifest_of(said, material.task, policy, pool, chosen)
    if not any(item.selection != HONEYPOT for item in chosen.items):
        return ReviewResult(folder=None, manifest=manifest)
    document = exports.as_json(manifest.model_dump(mode="json"))
    folder = exports.write_export(root, name, files | {exports.MANIFEST: document})
    return ReviewResult(folder=folder, manifest=manifest)


def _contents(
    items: Sequence[ReviewItem], material: _Material, export: str, salt: bytes
) -> dict[str, bytes]:
    policy = material.policy
    question = policy.question or material.task.name
    names = {item.id: opaque_name(salt, export, item.id) for item in items}
    # Where some texts have no language, having one would tell a golden case.
    languages = all(item.lang is not None for item in items)
    tasks = [
        label_studio_task(
            item,
            names[item.id],
            question=question,
            blind=policy.blind,
            export=export,
            languages=languages,
        )
        for item in items
    ]
    flat = (flat_row(i, names[i.id], policy.blind, languages=languages) for i in items)
    rows = (identity_row(item, names[item.id]).model_dump(mode="json") for item in items)
    # Honeypots are asked again on purpose.
    asked = ({"id": i.id, "key": i.key} for i in items if i.selection != HONEYPOT)
    rejected = ({"where": line.where, "why": line.why} for line in material.rejected)
    return {
        exports.TASKS: exports.as_json(tasks),
        exports.CONFIG: labelling_config(question, material.task.labels).encode(),
        "review.jsonl": exports.as_jsonl(flat),
        exports.IDENTITIES: exports.as_jsonl(rows),
        exports.ASKED: exports.as_jsonl(asked),
        "rejected.jsonl": exports.as_jsonl(rejected),
    }
