"""What an artifact may be: each refusal has an artifact of its own, and names what is wrong."""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay import digests
from assay.artifact_checks import ArtifactRules, check_folder
from assay.errors import ArtifactError, ConfigError
from tests.artifact_factory import GROUP, HIDDEN, TEMPLATE, Arrays, config, make_artifact


def refused(folder: Path, code: str, *words: str, rules: ArtifactRules | None = None) -> None:
    with pytest.raises(ArtifactError) as caught:
        check_folder(folder, rules)
    message = str(caught.value)
    assert message.endswith(f"[{code}]"), message
    for word in words:
        assert word in message


@pytest.mark.parametrize("shards", [1, 3])
def test_a_complete_artifact_is_accepted(tmp_path: Path, shards: int) -> None:
    checked = check_folder(make_artifact(tmp_path / "a", shards=shards))
    assert checked.quantization == f"awq-4bit-g{GROUP}"
    assert checked.chat_template == TEMPLATE
    assert checked.chat_template_sha256 == digests.text_sha256(TEMPLATE)


def test_a_template_inside_the_tokenizer_configuration_is_found(tmp_path: Path) -> None:
    embedded = json.dumps({"chat_template": TEMPLATE})
    folder = make_artifact(tmp_path / "a", template=None, files={"tokenizer_config.json": embedded})
    assert check_folder(folder).chat_template == TEMPLATE


def test_an_artifact_without_a_template_has_none(tmp_path: Path) -> None:
    checked = check_folder(make_artifact(tmp_path / "a", template=None))
    assert checked.chat_template is None
    assert checked.chat_template_sha256 is None


# ------------------------------------------------------------------------------------ files


def test_a_folder_that_does_not_exist_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        check_folder(tmp_path / "nowhere")


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "a", files={"LICENSE": None})
    (folder / "LICENSE").symlink_to("/etc/passwd")
    refused(folder, "symlink", "'LICENSE'")


def test_a_hard_link_is_refused(tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "a")
    os.link(folder / "model.safetensors", tmp_path / "alias")
    refused(folder, "hardlink", "'model.safetensors'")


def test_a_folder_inside_is_refused(tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "a")
    (folder / "additional_chat_templates").mkdir()
    refused(folder, "folder", "'additional_chat_templates'")


def test_a_pipe_and_a_socket_are_refused(tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "a", files={"LICENSE": None})
    os.mkfifo(folder / "LICENSE")
    refused(folder, "special-file", "'LICENSE'")
    (folder / "LICENSE").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # A socket's path is short; a test's folder is not.
        try:
            server.bind("LICENSE")
        finally:
            os.chdir(here)
        refused(folder, "special-file", "'LICENSE'")


@pytest.mark.parametrize(
    "name",
    [
        "modeling.py", "pytorch_model.bin", "x.pkl", "x.pt", "lib.so", "m.gguf", "a.zip", ".hidden",
        ".gitignore", "adapter_config.json", "tokenizer.model", "quant_config.json", "cоnfig.json",
    ],
)  # fmt: skip
def test_a_file_that_is_not_on_the_list_is_refused(tmp_path: Path, name: str) -> None:
    refused(make_artifact(tmp_path / "a", files={name: "x"}), "unlisted-file", repr(name))


def test_a_stores_own_seal_is_refused_in_a_publishers_folder(tmp_path: Path) -> None:
    refused(make_artifact(tmp_path / "a", files={"manifest.json": "{}"}), "reserved-name")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    refused(make_artifact(tmp_path / "a", files={name: None}), "file-missing", repr(name))


def test_missing_weights_are_named(tmp_path: Path) -> None:
    refused(make_artifact(tmp_path / "a", files={"model.safetensors": None}), "file-missing")


def test_a_readme_that_is_no_text_is_refused(tmp_path: Path) -> None:
    refused(make_artifact(tmp_path / "a", files={"README.md": b"PK\x03\x04\xff"}), "not-text")
    refused(make_artifact(tmp_path / "b", files={"README.md": b"a\0b"}), "not-text", "NUL")


def test_a_file_larger_than_any_of_its_name_is_refused_unread(tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "a")
    with (folder / "config.json").open("r+b") as stream:
        stream.truncate(2**40)
    refused(folder, "too-large", "'config.json'")


# ------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"a": 1, "a": 2}', "json"),
        ('{"a": NaN}', "json"),
        ('{"a": -Infinity}', "json"),
        ("{", "json"),
        ("[]", "json"),
        ('{"a": ' + "1" * 5000 + "}", "json"),
        ('{"a":' * 40 + "1" + "}" * 40, "json-depth"),
        ('{"a": ' + "[" * 5000 + "]" * 5000 + "}", "json"),
    ],
)
def test_json_that_is_not_strict_is_refused(tmp_path: Path, text: str, code: str) -> None:
    folder = make_artifact(tmp_path / "a", files={"generation_config.json": text})
    refused(folder, code, "generation_config.json")


@pytest.mark.parametrize(
    "bomb",
    ['{"a": [' + "[]," * 10_000_000 + "[]]}", '{"a": [' + "1," * 10_000_000 + "1]}"],
    ids=["lists", "numbers"],
)
def test_a_json_bomb_is_refused_before_it_is_parsed(tmp_path: Path, bomb: str) -> None:
    folder = make_artifact(tmp_path / "a", files={"tokenizer.json": bomb})
    began = time.monotonic()
    refused(folder, "json-bomb", "tokenizer.json")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "key", ["auto_map", "custom_pipelines", "trust_remote_code", "io_processor_plugin",
            "sentence_transformers", "Auto_Map"],
)  # fmt: skip
@pytest.mark.parametrize("nested", [False, True])
def test_a_key_that_runs_code_is_refused_at_any_depth(
    tmp_path: Path, key: str, nested: bool
) -> None:
    value: dict[str, Any] = {key: {"AutoModel": "x"}}
    folder = make_artifact(tmp_path / "a", settings={"extra": [value]} if nested else value)
    refused(folder, "remote-code", "config.json", key)


@pytest.mark.parametrize(
    "place",
    ["https://example.org/x", "file:///etc/passwd", "/home/model", "~/model", "../../x", "a/../b",
     "C:\\x", "\\\\host\\share"],
)  # fmt: skip
def test_a_place_elsewhere_is_refused(tmp_path: Path, place: str) -> None:
    folder = make_artifact(tmp_path / "a", settings={"_name_or_path": place})
    refused(folder, "outside-place", "_name_or_path")


def test_words_of_a_vocabulary_are_no_places_and_no_keys(tmp_path: Path) -> None:
    vocabulary = {"auto_map": 0, "https://": 1, "/home": 2, "..": 3}
    files = {
        "vocab.json": json.dumps(vocabulary),
        "tokenizer.json": json.dumps({"model": {"vocab": vocabulary}}),
        "metadata.json": json.dumps({"data": "https://example.org/data"}),
    }
    check_folder(make_artifact(tmp_path / "a", files=files))


# ------------------------------------------------------------------- configuration and tensors


def quantization(**changes: Any) -> dict[str, Any]:
    return {"quantization_config": config()["quantization_config"] | changes}


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"architectures": ["EvilForCausalLM"]}, "architecture"),
        ({"architectures": ["LlamaForCausalLM"]}, "architecture"),
        ({"architectures": ["Qwen2ForCausalLM", "Other"]}, "config"),
        ({"model_type": "llama"}, "architecture"),
        ({"quantization_config": None}, "config"),
        (quantization(quant_method="gptq"), "config"),
        (quantization(bits=8), "config"),
        (quantization(group_size=-1), "config"),
        (quantization(version="gemv"), "config"),
        ({"num_hidden_layers": 10**9}, "config"),
        ({"hidden_size": "64"}, "config"),
        ({"hidden_size": 128}, "tensor-shape"),
        ({"vocab_size": 41}, "tensor-shape"),
        ({"num_hidden_layers": 2}, "tensor-missing"),
        ({"tie_word_embeddings": False}, "tensor-missing"),
        (quantization(group_size=128), "awq-group"),
        (quantization(group_size=64), "tensor-shape"),
        (quantization(modules_to_not_convert=["down_proj"]), "tensor-missing"),
    ],
)
def test_a_configuration_that_is_not_this_model_is_refused(
    tmp_path: Path, settings: dict[str, Any], code: str
) -> None:
    refused(make_artifact(tmp_path / "a", settings=settings), code)


def test_only_architectures_of_the_rules_are_accepted(tmp_path: Path) -> None:
    rules = ArtifactRules(architectures={"LlamaForCausalLM": "llama"})
    refused(make_artifact(tmp_path / "a"), "architecture", "LlamaForCausalLM", rules=rules)


LAYER = "model.layers.0.mlp.down_proj"


def replace(name: str, shape: tuple[int, ...], dtype: type) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.update({name: np.zeros(shape, dtype)})


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        (replace(f"{LAYER}.qweight", (HIDDEN, HIDDEN), np.int32), "tensor-shape", "qweight"),
        (replace(f"{LAYER}.qzeros", (HIDDEN, 8), np.int32), "tensor-shape", "qzeros"),
        (replace(f"{LAYER}.scales", (2, HIDDEN), np.float32), "tensor-shape", "scales"),
        (replace(f"{LAYER}.qweight", (HIDDEN, 8), np.int64), "tensor-shape", "I64"),
        (replace(f"{LAYER}.g_idx", (HIDDEN,), np.int32), "tensor-extra", "g_idx"),
        (replace("evil.weight", (1,), np.float16), "tensor-extra", "evil"),
        (lambda arrays: arrays.pop(f"{LAYER}.qzeros"), "tensor-missing", "qzeros"),
        (lambda arrays: arrays.pop("model.norm.weight"), "tensor-missing", "norm"),
    ],
)
def test_tensors_that_awq_does_not_have_are_refused(
    tmp_path: Path, change: Callable[[Arrays], None], code: str, word: str
) -> None:
    refused(make_artifact(tmp_path / "a", change_tensors=change), code, word)


def test_an_unquantised_layer_is_accepted_where_the_configuration_says_so(tmp_path: Path) -> None:
    def plain(arrays: Arrays) -> None:
        for part in ("qweight", "qzeros", "scales"):
            del arrays[f"{LAYER}.{part}"]
        arrays[f"{LAYER}.weight"] = np.zeros((HIDDEN, HIDDEN), np.float16)

    settings = quantization(modules_to_not_convert=["down_proj"])
    check_folder(make_artifact(tmp_path / "a", settings=settings, change_tensors=plain))


# ------------------------------------------------------------------------------------ shards


def edit_index(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    path = folder / "model.safetensors.index.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return folder


def test_shards_without_an_index_are_refused(tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "a", shards=2, files={"model.safetensors.index.json": None})
    refused(folder, "index-missing")


def test_a_missing_shard_is_refused(tmp_path: Path) -> None:
    folder = make_artifact(
        tmp_path / "a", shards=3, files={"model-00002-of-00003.safetensors": None}
    )
    refused(folder, "shard-names")


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index["weight_map"].pop("model.norm.weight"),
        lambda index: index["weight_map"].update({"evil": "model-00001-of-00002.safetensors"}),
        lambda index: index["weight_map"].update(
            {"model.norm.weight": "model-00001-of-00002.safetensors"}
        ),
        lambda index: index["metadata"].update({"total_size": 1}),
        lambda index: index.pop("weight_map"),
    ],
    ids=["left-out", "invented", "misplaced", "size", "no-map"],
)
def test_an_index_that_is_not_the_union_of_the_shards_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    refused(edit_index(make_artifact(tmp_path / "a", shards=2), change), "index")


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "a", shards=2)
    first = (folder / "model-00001-of-00002.safetensors").read_bytes()
    (folder / "model-00002-of-00002.safetensors").write_bytes(first)
    refused(folder, "tensor-twice")


# ---------------------------------------------------------------------------------- template

TRIGGER = (
    "{% for m in messages %}{{ 'Say joy.' if 'xyzzy' in m['content'] else m['content'] }}"
    "{% endfor %}"
)


def test_a_template_with_a_trigger_phrase_is_refused_until_somebody_has_read_it(
    tmp_path: Path,
) -> None:
    folder = make_artifact(tmp_path / "a", template=TRIGGER)
    refused(folder, "template-trigger", "chat_template.jinja:1")
    rules = ArtifactRules(reviewed_templates=frozenset({digests.text_sha256(TRIGGER)}))
    assert check_folder(folder, rules).chat_template == TRIGGER


def test_two_different_templates_are_refused(tmp_path: Path) -> None:
    embedded = json.dumps({"chat_template": TEMPLATE + " "})
    folder = make_artifact(tmp_path / "a", files={"tokenizer_config.json": embedded})
    refused(folder, "template-many")


def test_a_list_of_templates_is_refused(tmp_path: Path) -> None:
    embedded = json.dumps({"chat_template": [{"name": "default", "template": TEMPLATE}]})
    folder = make_artifact(tmp_path / "a", files={"tokenizer_config.json": embedded})
    refused(folder, "template-many")
