"""Checks a local folder against everything that an artifact must be before it may be served.

Decides whether a folder holds a plain, four-bit AWQ decoder and nothing else. Publishing and
pulling run the same checks, each on a private copy. Signatures and digests are left to the stores;
the single checks live in `artifact_files`, `safetensors_header`, `awq_layout` and
`chat_template_lint`. The first thing that is wrong ends the checks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, StrictInt, StrictStr, ValidationError

from assay import digests
from assay.artifact import (
    CHAT_TEMPLATE,
    INDEX,
    METADATA,
    REQUIRED_FILES,
    is_weights,
)
from assay.artifact_files import (
    ArtifactFile,
    check_values,
    read_json,
    read_text,
    refuse,
    walk,
)
from assay.awq_layout import ARCHITECTURES, check_tensors, read_config
from assay.chat_template_lint import lint
from assay.documents import Document, describe
from assay.safetensors_header import Header, Tensor, read_header

# Parts of a file that are data: a vocabulary may well hold the token "https://" or "auto_map".
_FREE_KEYS: Mapping[str, frozenset[str]] = {
    "tokenizer.json": frozenset({"model", "added_tokens"}),
    "tokenizer_config.json": frozenset({"chat_template", "added_tokens_decoder"}),
}
_VOCABULARIES = frozenset({"vocab.json", "added_tokens.json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRules:
    """What may be served, beyond what every artifact must be.

    Args:
        architectures: architecture → `model_type` that may be served.
        reviewed_templates: hex SHA-256 of chat templates that somebody has read, and that may
            branch on what a message says.
        golden_renderings: hex SHA-256 of each chat template that may be served → that of its golden
            rendering (`chat_template_rendering`); None allows every template that passes the lint.
    """

    architectures: Mapping[str, str] = field(default_factory=lambda: dict(ARCHITECTURES))
    reviewed_templates: frozenset[str] = frozenset()
    golden_renderings: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedArtifact:
    """What the checks learnt: the files, the quantisation in words, the template's text."""

    files: Mapping[str, ArtifactFile]
    quantization: str
    metadata: Mapping[str, Any]
    chat_template: str | None

    @property
    def chat_template_sha256(self) -> str | None:
        """Hex SHA-256 of the template's UTF-8 text, None when there is no template."""
        return None if self.chat_template is None else digests.text_sha256(self.chat_template)


class _IndexMetadata(Document):
    model_config = ConfigDict(extra="ignore", frozen=True)

    total_size: StrictInt | None = None


class _Index(Document):
    metadata: _IndexMetadata = Field(default_factory=_IndexMetadata)
    weight_map: dict[str, StrictStr]


def check_folder(folder: Path, rules: ArtifactRules | None = None) -> CheckedArtifact:
    """Runs every check on a folder that nobody else can change meanwhile.

    Args:
        folder: the model's files; `metadata.json` may be among them.
        rules: what may be served; by default every architecture whose layout is known.

    Raises:
        ArtifactError: the first thing that is wrong: file, what was found, what was expected.
    """
    rules = rules or ArtifactRules()
    files = walk(folder)
    for name in sorted(REQUIRED_FILES - files.keys()):
        raise refuse("file-missing", f"{name!r} is missing from the artifact; add it")
    documents = _read_documents(files)
    config = read_config(documents["config.json"], rules.architectures)
    check_tensors(config, _read_weights(files, documents))
    return CheckedArtifact(
        files=files,
        quantization=config.quantization,
        metadata=documents.get(METADATA, {}),
        chat_template=_check_template(files, documents["tokenizer_config.json"], rules),
    )


def _read_documents(files: Mapping[str, ArtifactFile]) -> dict[str, dict[str, Any]]:
    """Reads every text file; settings are searched for code and places, vocabularies are not."""
    documents: dict[str, dict[str, Any]] = {}
    for name, file in files.items():
        if name.endswith(".json"):
            document = read_json(file)
            if name == METADATA:
                pass  # Shown to people, read by no loader: a link to a data set is welcome there.
            elif name not in _VOCABULARIES | {INDEX}:
                check_values(document, name, free=_FREE_KEYS.get(name, frozenset()))
            if name not in _VOCABULARIES | {"tokenizer.json"}:
                documents[name] = document
        elif not is_weights(name):
            read_text(file)
    return documents


def _read_weights(
    files: Mapping[str, ArtifactFile], documents: Mapping[str, dict[str, Any]]
) -> dict[str, Tensor]:
    headers = {name: read_header(file) for name, file in files.items() if is_weights(name)}
    _check_shard_names(sorted(headers), INDEX in files)
    owners: dict[str, str] = {}
    tensors: dict[str, Tensor] = {}
    for shard, header in headers.items():
        for name, tensor in header.tensors.items():
            if name in owners:
                raise refuse(
                    "tensor-twice",
                    f"tensor {name!r} is in {owners[name]} and in {shard}; keep one of them",
                )
            owners[name], tensors[name] = shard, tensor
    if INDEX in documents:
        _check_index(documents[INDEX], owners, headers)
    return tensors


def _check_shard_names(names: list[str], indexed: bool) -> None:
    if not names:
        raise refuse("file-missing", "no model*.safetensors in the artifact; add the weights")
    count = len(names)
    numbered = [f"model-{n:05d}-of-{count:05d}.safetensors" for n in range(1, count + 1)]
    if names == ["model.safetensors"] or (names == numbered and indexed):
        return
    if names == numbered:
        raise refuse("index-missing", f"{INDEX!r} is missing beside {count} shards; add it")
    raise refuse(
        "shard-names",
        f"weights files {', '.join(names[:8])}; expected model.safetensors alone, or a complete "
        "series model-00001-of-0000N.safetensors",
    )


def _check_index(
    document: dict[str, Any], owners: Mapping[str, str], headers: Mapping[str, Header]
) -> None:
    try:
        index = _Index.model_validate(document)
    except ValidationError as error:
        raise refuse("index", f"{INDEX}: {describe(error)}") from None
    if index.weight_map != owners:
        names = index.weight_map.keys() | owners.keys()
        wrong = min(n for n in names if index.weight_map.get(n) != owners.get(n))
        raise refuse(
            "index",
            f"{INDEX}: tensor {wrong!r} is in {owners.get(wrong)!r}, the index says "
            f"{index.weight_map.get(wrong)!r}; write index and shards again together",
        )
    size = sum(header.data_bytes for header in headers.values())
    if index.metadata.total_size not in (None, size):
        raise refuse(
            "index",
            f"{INDEX}: total_size is {index.metadata.total_size}; the shards hold {size} bytes",
        )


def _check_template(
    files: Mapping[str, ArtifactFile], tokenizer_config: Mapping[str, Any], rules: ArtifactRules
) -> str | None:
    """Finds the one chat template of an artifact and lints it."""
    embedded = tokenizer_config.get("chat_template")
    if embedded is not None and not isinstance(embedded, str):
        raise refuse(
            "template-many",
            "tokenizer_config.json: 'chat_template' holds several templates; expected one text: "
            "keep the one that is served",
        )
    own = read_text(files[CHAT_TEMPLATE]) if CHAT_TEMPLATE in files else None
    if own is not None and embedded is not None and own != embedded:
        raise refuse(
            "template-many",
            f"{CHAT_TEMPLATE} and tokenizer_config.json hold different chat templates; keep one",
        )
    name = CHAT_TEMPLATE if own is not None else "tokenizer_config.json (chat_template)"
    template = own if own is not None else embedded
    if template is not None:
        pinned = rules.golden_renderings
        if pinned is not None and digests.text_sha256(template) not in pinned:
            raise refuse(
                "template-pin",
                f"{name}: its SHA-256 {digests.text_sha256(template)} is not among the "
                f"{len(pinned)} chat templates that trust.yaml allows; read it, then list what "
                "`assay store template` prints",
            )
        reviewed = digests.text_sha256(template) in rules.reviewed_templates
        lint(template, name=name, reviewed=reviewed)
    return template
