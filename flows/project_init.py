"""Writes the documents of a user's own model: `task.yaml`, `policy.yaml`, `serving.yaml`.

Decides what is derived from a golden file (labels, languages, the smallest class) and that all
three appear or none: they are read back by the gate's own readers before the first one takes its
place. Which words stand in them is the templates'.
"""

import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from assay.documents import read_jsonl
from assay.errors import ConfigError
from assay.golden_set import GoldenRow
from assay.load.named_profiles import all_profiles
from assay.policy import load_policy
from assay.serving_profile import load_serving
from assay.task import load_task
from evaluators import registry

FILES = ("task.yaml", "policy.yaml", "serving.yaml")
_TEMPLATES = Path(__file__).parents[1] / "assay" / "templates"
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_MOST_LABELS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class InitRequest:
    """What a user says about a model. The names are those of the command line's flags."""

    folder: Path
    name: str | None = None
    labels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    golden: Path | None = None
    readiness_text: str = "This is a short text that any label may fit."
    force: bool = False

    def asking(self, readiness_text: str) -> "InitRequest":
        """Returns the request with a readiness question of its own."""
        return replace(self, readiness_text=readiness_text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the documents are filled in with; `smallest` is None without a golden file."""

    name: str
    labels: tuple[str, ...]
    languages: tuple[str, ...]
    smallest: int | None
    readiness_text: str

    @property
    def max_tokens(self) -> int:
        """Room for the longest label, whatever the tokenizer: a token is a byte at least."""
        return max(8, *(len(label.encode()) + 1 for label in self.labels))


def init(request: InitRequest) -> Facts:
    """Writes the documents, all or none.

    Raises:
        ConfigError: no labels are known, what was given contradicts the golden file, or a document
            is there already; nothing was written.
    """
    folder = request.folder
    present = [name for name in FILES if (folder / name).exists()]
    if present and not request.force:
        raise ConfigError(
            f"{folder / present[0]}: exists already; nothing was written; name another folder, or "
            "give --force to replace task.yaml, policy.yaml and serving.yaml"
        )
    facts = facts_of(request)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".assay-init-", dir=folder) as staged:
        for name, text in render(facts).items():
            (Path(staged) / name).write_text(text, encoding="utf-8")
        check_documents(Path(staged))
        _put(Path(staged), folder, force=request.force)
    return facts


def facts_of(request: InitRequest) -> Facts:
    """Returns what is known about the model: as given, and from the golden file.

    Raises:
        ConfigError: no labels are known, or the golden file has others.
    """
    labels, languages, smallest = request.labels, request.languages, None
    if request.golden is not None:
        counts, spoken = _counted(request.golden)
        if strange := sorted(set(counts) - set(labels or counts)):
            raise ConfigError(
                f"{request.golden}: holds the label {strange[0]!r}, which --label does not name; "
                f"expected one of {', '.join(labels)}; name all, or leave --label out"
            )
        labels, languages = labels or tuple(sorted(counts)), languages or tuple(sorted(spoken))
        smallest = min(counts[label] for label in labels)
    if not labels:
        raise ConfigError(
            "no labels: expected --label once for each, or --golden FILE to take them from; say "
            "what the model may answer"
        )
    if wrong := [one for one in languages if not _LANGUAGE.fullmatch(one)]:
        raise ConfigError(
            f"--language {wrong[0]!r}: expected a language tag such as en, vi or pt-BR; correct it"
        )
    return Facts(
        name=request.name or request.folder.resolve().name or "task",
        labels=labels,
        languages=languages,
        smallest=smallest,
        readiness_text=request.readiness_text,
    )


def render(facts: Facts) -> dict[str, str]:
    """Returns each document's text."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - YAML: every word goes through `json`, which quotes it
    )
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.filters["lang"] = lambda language: f"lang_{language}"
    fields: dict[str, Any] = {
        "name": facts.name,
        "labels": facts.labels,
        "languages": facts.languages,
        "smallest": facts.smallest,
        "readiness_text": facts.readiness_text,
        "max_tokens": facts.max_tokens,
    }
    return {name: environment.get_template(f"init_{name}.j2").render(fields) for name in FILES}


def check_documents(folder: Path) -> None:
    """Reads the three documents of a folder as a gate does.

    Raises:
        ConfigError: one is missing or wrong, or they do not fit each other.
    """
    task, policy = load_task(folder / "task.yaml"), load_policy(folder / "policy.yaml")
    registry.build(policy, task, where=str(folder / "policy.yaml"))
    all_profiles(policy.load, where=str(folder / "policy.yaml"))
    load_serving(folder / "serving.yaml")


def _counted(golden: Path) -> tuple[Mapping[str, int], set[str]]:
    counts: Counter[str] = Counter()
    languages: set[str] = set()
    for _, row in read_jsonl(golden, GoldenRow):
        counts[row.label] += 1
        languages.add(row.lang)
        if len(counts) > _MOST_LABELS:
            raise ConfigError(
                f"{golden}: holds more than {_MOST_LABELS} labels; expected a classifier's; name "
                "the file whose `label` is the class"
            )
    if not counts:
        raise ConfigError(f"{golden}: holds no case; expected at least one a label; fill it")
    return counts, languages


def _put(staged: Path, folder: Path, *, force: bool) -> None:
    """Gives every file its place; whatever fails, what was there before is there again."""
    before = {name: _bytes(folder / name) for name in FILES}
    done: list[str] = []
    try:
        for name in FILES:
            if force:
                done.append(name)
                (staged / name).replace(folder / name)
            else:
                os.link(staged / name, folder / name)  # fails where somebody was faster
                done.append(name)
    except BaseException as error:
        for name in done:
            _restore(folder / name, before[name])
        if isinstance(error, FileExistsError):
            raise ConfigError(
                f"{error.filename2}: exists already; nothing was written; give --force"
            ) from None
        raise


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _restore(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)
