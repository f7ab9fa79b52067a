"""Hostile model folders: what a publisher could hand in."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.artifact_checks import ArtifactRules, check_folder
from tests.adversarial.corpus import Hostile
from tests.artifact_factory import make_artifact

Build = Callable[[Path], object]
LINE = b'"%07d":1,'


def model(**changes: Any) -> Build:
    return lambda folder: make_artifact(folder / "model", **changes)


def then(change: Callable[[Path], object], **changes: Any) -> Build:
    """An artifact whose folder is altered once it is written."""
    return lambda folder: change(make_artifact(folder / "model", **changes))


def check(folder: Path) -> object:
    return check_folder(folder / "model", ArtifactRules())


def row(name: str, code: str, build: Build) -> Hostile:
    return Hostile(name=f"artifact: {name}", code=code, build=build, meet=check)


def settings(**changes: Any) -> Build:
    return model(settings=changes)


def file(name: str, content: str | bytes = "x") -> Build:
    return model(files={name: content})


# --- names and kinds of files ---------------------------------------------------------------------


def pickled() -> bytes:
    """A pickle that runs a program when it is loaded; nobody here loads it."""

    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("true",)

    return pickle.dumps(Runs())


def link_to(target: str, name: str = "LICENSE") -> Callable[[Path], object]:
    def link(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return link


def hard_link(folder: Path) -> None:
    os.link(folder / "config.json", folder.parent / "the same file")


def pipe(folder: Path) -> None:
    (folder / "LICENSE").unlink()
    os.mkfifo(folder / "LICENSE")


def sparse(name: str) -> Callable[[Path], object]:
    def grow(folder: Path) -> None:
        with (folder / name).open("r+b") as stream:
            stream.truncate(2**40)

    return grow


NAMES = {
    "code of its own": "modeling_qwen2.py",
    "a shared library": "libkernels.so",
    "pickled weights": "pytorch_model.bin",
    "a torch checkpoint": "model.pt",
    "a GGUF model": "model.gguf",
    "an adapter": "adapter_model.safetensors",
    "an archive": "extra.zip",
    "a hidden file": ".gitattributes",
    "a configuration spelt with a Cyrillic o": "c\u043enfig.json",
    "a configuration in full-width letters": "\uff43\uff4f\uff4e\uff46\uff49\uff47.json",
    "a ligature that NFKC makes a listed name": "con\ufb01g.json",
    "a name that is written backwards": "\u202enosj.gifnoc",
    "a name with an invisible space": "config.json\u200b",
    "a listed name in capitals": "CONFIG.JSON",
    "shard numbers in Arabic digits": "model-\u0660\u0660\u0660\u0660\u0661-of-00001.safetensors",
    "a name that ends in a line break": "config.json\n",
}
FILES = [
    *(row(what, "unlisted-file", file(name)) for what, name in NAMES.items()),
    row("a pickle under a listed name", "not-text", file("README.md", pickled())),
    row("a forged seal of the store", "reserved-name", file("release.json", "{}")),
    row("a symbolic link out of the folder", "symlink", then(link_to("/etc/passwd"))),
    row("a symbolic link by way of ..", "symlink", then(link_to("../../../etc/passwd"))),
    row(
        "weights that are a link to a device",
        "symlink",
        then(link_to("/dev/zero", "model.safetensors")),
    ),
    row("a file with a second name", "hardlink", then(hard_link)),
    row("a folder", "folder", then(lambda folder: (folder / "custom").mkdir())),
    row("a pipe that is never written to", "special-file", then(pipe)),
    row("a configuration of a tebibyte", "too-large", then(sparse("config.json"))),
    row("a vocabulary of a tebibyte", "too-large", then(sparse("tokenizer.json"))),
    row("no tokenizer", "file-missing", model(files={"tokenizer.json": None})),
]


# --- JSON -----------------------------------------------------------------------------------------


def json_file(name: str, *parts: bytes | tuple[bytes, int]) -> Build:
    """A document of parts, each as often as said, written without ever being whole in memory."""

    def build(folder: Path) -> None:
        make_artifact(folder / "model")
        with (folder / "model" / name).open("wb") as stream:
            for part in parts:
                piece, times = (part, 1) if isinstance(part, bytes) else part
                for _ in range(times):
                    stream.write(piece)

    return build


def many_keys(name: str, count: int) -> Build:
    def build(folder: Path) -> None:
        make_artifact(folder / "model")
        with (folder / "model" / name).open("wb") as stream:
            stream.write(b'{"model":{')
            stream.writelines(LINE % number for number in range(count))
            stream.write(b'"x":1}}')

    return build


CODE_KEYS = ("auto_map", "custom_pipelines", "trust_remote_code", "io_processor_plugin",
             "sentence_transformers")  # fmt: skip
PLACES = ("https://example.org/w", "file:///etc/passwd", "/etc/passwd", "~/w", "../../w", "C:\\w",
          "\\\\host\\w")  # fmt: skip
DOCUMENTS = [
    *(row(f"{key} in config.json", "remote-code", settings(**{key: {"a": "x--y.Z"}}))
      for key in CODE_KEYS),
    row("auto_map hidden in a list, in capitals", "remote-code", settings(x=[{"AUTO_MAP": "y"}])),
    row("auto_map in tokenizer_config.json", "remote-code",
        file("tokenizer_config.json", '{"auto_map": {"AutoTokenizer": ["x.Y", null]}}')),
    row("auto_map spelt with an escape", "remote-code",
        file("generation_config.json", '{"auto_m\\u0061p": "x"}')),
    *(row(f"the place {place!r}", "outside-place", settings(_name_or_path=place))
      for place in PLACES),
    row("a key given twice", "json",
        file("config.json", '{"model_type": "qwen2", "model_type": 1}')),
    row("a key given twice, once by an escape", "json",
        file("generation_config.json", '{"a": 1, "\\u0061": 2}')),
    row("NaN", "json", file("generation_config.json", '{"temperature": NaN}')),
    row("a number without end", "json", file("generation_config.json", '{"a": 1e999}')),
    row("a number of a million digits", "json",
        json_file("generation_config.json", b'{"a":', (b"9", 1_000_000), b"}")),
    row("half a character", "json", file("generation_config.json", '{"a": "\\ud800"}')),
    row("UTF-16", "not-text", file("generation_config.json", "{}".encode("utf-16"))),
    row("a NUL", "not-text", file("generation_config.json", '{"a": "\0"}')),
    row("thirty levels", "json-depth",
        json_file("generation_config.json", b'{"a":', (b"[", 30), (b"]", 30), b"}")),
    row("a million levels", "json",
        json_file("generation_config.json", b'{"a":', (b"[", 500_000), (b"]", 500_000), b"}")),
    row("ten million keys", "too-large", many_keys("tokenizer.json", 10_000_000)),
    row("three million keys in a vocabulary", "json-bomb", many_keys("tokenizer.json", 2_900_000)),
    row("ten million lists", "json-bomb",
        json_file("tokenizer.json", b'{"a":[', (b"[],", 10_000_000), b"[]]}")),
    row("a million keys of a million twins", "json",
        json_file("tokenizer.json", b"{", (b'"a":1,', 900_000), b'"a":1}')),
]  # fmt: skip


ALL = [*FILES, *DOCUMENTS]
