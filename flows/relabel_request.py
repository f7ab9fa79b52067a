"""What a person asks of an ingestion, made into what it works with: files, salts, adapters.

Decides where things lie by default, and how the salt of people's pseudonyms is kept: one file of
this machine's, made once and readable by its owner alone, or `ASSAY_ANNOTATOR_SALT`. Whoever
ingests on several machines gives them the same salt.
"""

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.adapters.golden_dvc import DvcGoldenSource
from assay.adapters.labelling_exports import default_root, read_identities
from assay.adapters.proposal_folder import check_target, write_proposal
from assay.adapters.validator_gx import GxValidator
from assay.documents import parse_json, read_text
from assay.errors import ConfigError
from assay.golden_frozen import GOLDEN_FILE, to_jsonl
from assay.golden_set import GoldenSet
from assay.ports import Progress
from assay.relabelling.admission import Training
from assay.relabelling.history import history_lines
from assay.relabelling.ledger import ledger_lines
from assay.relabelling.policy import RelabelPolicy, load_relabel_policy
from assay.relabelling.proposal import (
    HISTORY_FILE,
    LEDGER_FILE,
    REPORT_FILE,
    Summary,
    as_line,
)
from assay.relabelling.sketches import read_sketch, salt_id, write_sketch
from assay.relabelling.training import TrainingSketch, TrainingText
from assay.task import load_task
from flows.relabel_ingestion import Ingested, IngestRequest, ingest, report_rows
from flows.relabel_summary import summarise
from flows.settings import Settings

GOLDEN_FOLDER = Path("golden_data")
SALT_VARIABLE = "ASSAY_ANNOTATOR_SALT"
_SHORTEST_SALT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """An ingestion as it is asked for.

    `golden` None is the working tree's golden set, `reviews` None the review exports in Assay's
    home.
    """

    export: Path
    golden: Path | None = None
    policy: Path = Path("relabel.yaml")
    task: Path = Path("task.yaml")
    out: Path = Path("proposal")
    version: str | None = None
    training: Sequence[Path] = ()
    sketches: Sequence[Path] = ()
    sketch_salt: Path | None = None
    reviews: Path | None = None
    dry_run: bool = False


def run_ingestion(
    options: IngestOptions, settings: Settings, progress: Progress
) -> tuple[Ingested, Summary]:
    """Ingests an export and, unless it is a dry run, writes the proposal.

    Raises:
        ConfigError: something that was named is not what it must be; nothing is written.
        EvaluatorError: the resulting set could not be checked; nothing is written.
    """
    folder = GOLDEN_FOLDER if options.golden is None else options.golden.parent
    if not options.dry_run:
        if options.out.absolute() == folder.absolute():
            raise ConfigError(
                f"--out {options.out}: is where the golden set lies, which a proposal never "
                "changes; name another folder"
            )
        check_target(options.out)
    task = load_task(options.task)
    policy = load_relabel_policy(options.policy)
    request = IngestRequest(
        export=options.export,
        golden=_golden(options, task.labels),
        folder=folder,
        labels=task.labels,
        question=policy.question or task.name,
        policy=policy,
        salt=annotator_salt(settings),
        training=_training(options, policy),
        version=options.version,
        identities=read_identities(options.reviews or default_root(settings.home)),
    )
    found = ingest(request, GxValidator(), progress)
    if options.dry_run:
        return found, summarise(found, {})
    return found, write_proposal(options.out, _files(found), lambda d: summarise(found, d))


def _golden(options: IngestOptions, labels: Sequence[str]) -> GoldenSet:
    revision = None if options.golden is None else str(options.golden)
    if options.golden is not None and not options.golden.is_file():
        raise ConfigError(f"--golden {options.golden}: no such file; name a golden file")
    return DvcGoldenSource(Path.cwd()).load(revision, labels)


def _files(found: Ingested) -> Mapping[str, Iterable[bytes]]:
    salt = salt_id(found.request.salt)
    files: dict[str, Iterable[bytes]] = {
        HISTORY_FILE: history_lines(found.history),
        LEDGER_FILE: ledger_lines(found.ledger.items.items(), salt),
        REPORT_FILE: (as_line(row) for row in report_rows(found)),
    }
    if found.sound:
        files[GOLDEN_FILE] = (to_jsonl([case]) for case in found.after.cases)
    return files


def annotator_salt(settings: Settings, environment: Mapping[str, str] | None = None) -> bytes:
    """Returns the salt of people's pseudonyms, which is made when it is first needed.

    Raises:
        ConfigError: the salt given is too short to keep names apart from guesses.
    """
    env = os.environ if environment is None else environment
    if given := env.get(SALT_VARIABLE):
        return _checked_salt(given.encode(), SALT_VARIABLE)
    path = settings.home / "annotator.salt"
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    if not path.exists():
        try:
            with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(secrets.token_hex(32) + "\n")
            os.link(made, path)  # the first of two at once wins, and both then read it
        except FileExistsError:
            pass
        finally:
            made.unlink(missing_ok=True)
    return read_salt(path)


def read_salt(path: Path) -> bytes:
    """Returns the salt in a file.

    Raises:
        ConfigError: no such file, or too short.
    """
    return _checked_salt(read_text(path).strip().encode(), str(path))


def _checked_salt(salt: bytes, where: str) -> bytes:
    if len(salt) < _SHORTEST_SALT:
        raise ConfigError(
            f"{where}: a salt of {len(salt)} characters; expected at least {_SHORTEST_SALT}; make "
            "one with `openssl rand -hex 32`"
        )
    return salt


def _training(options: IngestOptions, policy: RelabelPolicy) -> list[Training]:
    similar = policy.texts.near_duplicate
    found: list[Training] = [
        TrainingText(path.name, read_texts(path), similar) for path in options.training
    ]
    if options.sketches:
        if options.sketch_salt is None:
            raise ConfigError("--sketch: needs the salt it was made with; name it: --sketch-salt")
        salt = read_salt(options.sketch_salt)
        for path in options.sketches:
            sketch = read_sketch(_lines(path), str(path), salt)
            found.append(TrainingSketch(path.name, sketch, salt, policy.texts.sketch_similarity))
    return found


def read_texts(path: Path) -> Iterator[str]:
    """Yields the texts of a training file (JSONL with a field `text`).

    Raises:
        ConfigError: a line is not JSON or has no text.
    """
    for number, line in enumerate(_lines(path), start=1):
        value = parse_json(line, f"{path}:{number}")
        text = value.get("text") if isinstance(value, dict) else None
        if not isinstance(text, str):
            raise ConfigError(f"{path}:{number}: has no 'text'; expected one JSON object a line")
        yield text


def sketch_file(training: Path, salt: Path, out: Path) -> int:
    """Writes the salted sketch of a training file, and returns its number of texts."""
    rows = list(write_sketch(read_texts(training), read_salt(salt)))
    staged = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        with staged.open("wb") as stream:
            stream.writelines(as_line(row) for row in rows)
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(out)
    finally:
        staged.unlink(missing_ok=True)
    return len(rows) - 1


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as stream:
            yield from (line for line in stream if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"{path}: cannot be read ({why}); name a JSONL file") from None
