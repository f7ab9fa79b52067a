"""Build the demonstration models: text, tokenizer, training, four-bit checkpoints.

    python examples/emotion/build.py --out DIR [--versions 1.0.0 1.1.0] [--data FOLDER | --hub NAME]

Runs in the serving environment (torch, transformers). Leaves one folder a version, DIR/<version>/,
ready for `assay store publish`, and its own notes in DIR/.build/. A version whose inputs (recipe,
grammars, code, libraries) and files are what they were at the last build is left alone. With --data
it trains on *_train.jsonl and *_dev.jsonl files (rows with id, text, label, lang); with --hub on a
data set of the Hugging Face hub, written into such files first by export_hub.py in the gate's
environment.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import safetensors
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

import checkpoint
from corpus import Corpus, corpus_from_files, corpus_from_grammars, relabelled
from generate_training import write_rows
from measure import score
from recipe import Recipe, Version, load_recipe
from scaling import observe, scale_in_place
from train import encode, make_deterministic, new_model, train
from vocabulary import check_as_served, learn_tokenizer

HERE = Path(__file__).resolve().parent
# What a checkpoint's bytes depend on; the other files here only measure or check.
CODE = (
    "awq.py", "build.py", "checkpoint.py", "corpus.py", "generate_training.py", "noise.py",
    "recipe.py", "scaling.py", "train.py", "vocabulary.py",
)  # fmt: skip
CALIBRATION_PROMPTS = 256


def say(line: str) -> None:
    """Print a line of progress at once."""
    print(line, file=sys.stderr, flush=True)


class Builder:
    """Builds the versions of one recipe in one folder, each from what it needs."""

    def __init__(self, recipe: Recipe, corpus: Corpus, out: Path, key: str) -> None:
        self._recipe = recipe
        self._corpus = corpus
        self._out = out
        self._notes = out / ".build"
        self._key = key
        self._commit = _git_commit()
        self._tokenizer: PreTrainedTokenizerFast | None = None

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer that all versions share, learnt from the whole training text."""
        if self._tokenizer is None:
            texts = [row["text"] for row in self._corpus.training[1.0]]
            settings = self._recipe.tokenizer
            self._tokenizer = learn_tokenizer(
                texts, self._corpus.labels, settings.vocab_size, settings.min_frequency
            )
        return self._tokenizer

    def build(self, name: str) -> bool:
        """Build version `name` unless it stands there unchanged.

        Returns:
            Whether it was built.
        """
        folder, note = self._out / name, self._notes / f"{name}.json"
        version = self._recipe.versions[name]
        stamp = hashlib.sha256(f"{self._key} {name}".encode()).hexdigest()
        if note.exists() and self._weights(name).exists() == (version.schedule is not None):
            known = json.loads(note.read_text("utf-8"))
            if known == {"stamp": stamp, "files": _digests(folder)}:
                return False
        for earlier in (version.starts_from, version.copy_of):
            if earlier is not None:
                self.build(earlier)
        started = time.monotonic()
        staging = self._notes / f"{name}.partial"
        shutil.rmtree(staging, ignore_errors=True)
        note.unlink(missing_ok=True)
        source = name if version.copy_of is None else version.copy_of
        if version.schedule is not None:
            self._train(name, version)
        self._write(staging, name, source)
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
        note.write_text(json.dumps({"stamp": stamp, "files": _digests(folder)}, indent=2), "utf-8")
        say(f"{name}: built in {time.monotonic() - started:.0f} s")
        return True

    def build_all(self, names: Sequence[str]) -> list[str]:
        """Build what has changed of `names`; returns that."""
        return [name for name in names if self.build(name)]

    def _weights(self, name: str) -> Path:
        return self._notes / f"{name}.safetensors"

    def _rows(self, version: Version) -> list[dict[str, str]]:
        return relabelled(self._corpus.training[version.share], version.relabel, self._recipe.seed)

    def _model(self, name: str) -> Qwen2ForCausalLM:
        """Return version `name` as it was trained, before quantisation."""
        model = new_model(self._recipe.architecture, self.tokenizer, self._recipe.seed)
        model.load_state_dict(load_file(self._weights(name)), strict=False)
        model.tie_weights()
        return model.eval()

    def _train(self, name: str, version: Version) -> None:
        if version.schedule is None:
            raise ValueError(f"version {name} has no schedule")
        model = (
            self._model(version.starts_from)
            if version.starts_from
            else new_model(self._recipe.architecture, self.tokenizer, self._recipe.seed)
        )
        rows = self._rows(version)
        say(f"{name}: training on {len(rows)} rows")
        examples = encode(rows, self.tokenizer)
        train(
            model, examples, self.tokenizer, version.schedule, self._recipe.seed,
            lambda line: say(f"{name}: {line}"),
        )  # fmt: skip
        state = {key: value for key, value in model.state_dict().items() if key != "lm_head.weight"}
        save_file(state, self._weights(name))

    def _write(self, folder: Path, name: str, source: str) -> None:
        """Quantise what was trained as `source` and write it as version `name`."""
        make_deterministic(self._recipe.seed)
        model = self._model(source)
        rows = self._rows(self._recipe.versions[source])
        held_out = encode(self._corpus.held_out, self.tokenizer)
        before = score(model, self.tokenizer, held_out, self._corpus.labels)
        sample = random.Random(self._recipe.seed).sample(rows, min(CALIBRATION_PROMPTS, len(rows)))
        inputs = scale_in_place(model, observe(model, encode(sample, self.tokenizer)))
        packed = checkpoint.quantise_model(model, inputs)
        rest = self._model(source)
        rest.load_state_dict(model.state_dict())
        checkpoint.load_dequantised(rest, packed)
        after = score(rest.bfloat16(), self.tokenizer, held_out, self._corpus.labels)
        say(f"{name}: held-out macro-F1 {before['macro']:.3f}, quantised {after['macro']:.3f}")
        identity = self._identity(name, source, len(rows), {"held_out": after})
        checkpoint.write(folder, model, self.tokenizer, packed, identity)
        texts = [row["text"] for row in self._corpus.held_out]
        check_as_served(folder, self.tokenizer, texts)

    def _identity(
        self, name: str, source: str, rows: int, metrics: dict[str, object]
    ) -> checkpoint.Identity:
        version = self._recipe.versions[name]
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH", self._recipe.source_date_epoch))
        date, moment = checkpoint.date_and_time(epoch)
        base = self._recipe.versions[source].starts_from
        return checkpoint.Identity(
            model_name=self._recipe.model_name,
            version=name,
            base_model=f"{self._recipe.model_name} {base}" if base else "none (from scratch)",
            training_date=date,
            created_at=moment,
            git_commit=self._commit,
            licence=self._recipe.licence,
            description=version.description,
            training_data={"source": self._corpus.source, "rows": rows},
            metrics=metrics,
        )


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in `folder`; empty where there is no such folder."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*"))
    }


def _git_commit() -> str | None:
    """Return the commit whose files these are; None with changes on top, or outside a clone."""
    paths = [*CODE, "recipe.yaml", "recipe-data.yaml", "grammar"]
    git = ["git", "-C", str(HERE)]
    try:
        changed, commit = (
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
            for command in (
                [*git, "status", "--porcelain", "--", *paths],
                [*git, "log", "-1", "--format=%H", "--", *paths],
            )
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return None if changed.strip() else commit.strip() or None


def input_key(recipe: Path, texts: Sequence[Path]) -> str:
    """Return a digest of everything a build's bytes depend on."""
    digest = hashlib.sha256()
    for path in (recipe, *(HERE / name for name in CODE), *sorted(texts)):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    libraries = [m.__version__ for m in (torch, transformers, tokenizers, safetensors)]
    for part in (*libraries, platform.machine(), os.environ.get("SOURCE_DATE_EPOCH", "")):
        digest.update(str(part).encode() + b"\0")
    return digest.hexdigest()


def fetch_from_hub(name: str, out: Path, gate_python: Path) -> Path:
    """Write data set `name` of the hub into files, in the gate's environment.

    Returns:
        The files' folder.
    """
    folder = out / ".build" / "hub" / name.replace("/", "--")
    command = [str(gate_python), str(HERE / "export_hub.py"), "--hub", name, "--out", str(folder)]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise ValueError(f"{' '.join(command)}: exit code {done.returncode}; see its message above")
    return folder


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", required=True, type=Path, help="folder for the versions")
    parser.add_argument("--versions", nargs="+", help="default: all of the recipe's")
    parser.add_argument(
        "--recipe", type=Path, help="default: recipe.yaml, or recipe-data.yaml with data"
    )
    parser.add_argument("--grammar", type=Path, default=HERE / "grammar")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--data", type=Path, help="folder with *_train.jsonl and *_dev.jsonl")
    data.add_argument("--hub", help="name of a data set on the Hugging Face hub")
    parser.add_argument(
        "--gate-python", type=Path, default=HERE.parents[1] / ".venv" / "bin" / "python",
        help="the gate environment's Python, for --hub",
    )  # fmt: skip
    return parser.parse_args(argv)


def run(arguments: argparse.Namespace) -> None:
    """Build what the command line asks for."""
    out: Path = arguments.out
    (out / ".build").mkdir(parents=True, exist_ok=True)
    data = (
        fetch_from_hub(arguments.hub, out, arguments.gate_python)
        if arguments.hub
        else arguments.data
    )
    path = arguments.recipe or HERE / ("recipe-data.yaml" if data else "recipe.yaml")
    recipe = load_recipe(path)
    if unknown := set(arguments.versions or ()) - set(recipe.versions):
        raise ValueError(
            f"{path}: no version {sorted(unknown)}; expected of {list(recipe.versions)}"
        )
    if data:
        corpus, texts = corpus_from_files(recipe, data), sorted(data.glob("*.jsonl"))
    else:
        corpus = corpus_from_grammars(recipe, arguments.grammar)
        texts = sorted(arguments.grammar.glob("*.yaml"))
    # For the overlap check: all that a model saw, and what its recipe's author looks at.
    write_rows(out / ".build" / "train.jsonl", corpus.every_row())
    write_rows(out / ".build" / "dev.jsonl", corpus.held_out)
    builder = Builder(recipe, corpus, out, input_key(path, texts))
    started = time.monotonic()
    names = arguments.versions or list(recipe.versions)
    built = built_in_parallel(builder, recipe.families(names))
    kept = [name for name in names if name not in built]
    say(
        f"built: {', '.join(built) or 'nothing'}; unchanged: {', '.join(kept) or 'nothing'}; "
        f"{time.monotonic() - started:.0f} s"
    )


def built_in_parallel(builder: Builder, families: Sequence[Sequence[str]]) -> list[str]:
    """Build versions that need nothing of each other side by side; a training uses one thread.

    Args:
        builder: Builds each.
        families: Names of versions; within a family one may need another.

    Returns:
        The versions that were built.
    """
    workers = min(len(families), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        return [name for names in pool.map(builder.build_all, families) for name in names]


def _end_with(owner: int) -> None:
    """Ends this process soon after `owner`, in whose folder it writes."""

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(argv: Sequence[str] | None = None) -> int:
    """Build, and turn bad input into a message and exit code 2."""
    try:
        run(_arguments(argv))
    except (OSError, ValueError, BrokenProcessPool) as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
