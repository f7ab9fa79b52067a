"""Names, order and identity of artifacts."""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from assay import artifact
from assay.artifact import FileEntry, Manifest
from assay.errors import ConfigError

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "model.safetensors",
        "model-00002-of-00010.safetensors",
        "LICENSE",
        "merges.txt",
    ],
)
def test_a_models_own_files_are_allowed(name: str) -> None:
    assert artifact.is_allowed(name)


@pytest.mark.parametrize(
    "name",
    [
        "modeling_qwen.py", "libcuda.so", "pytorch_model.bin", "weights.pt", "data.pkl", "m.gguf",
        "a.zip", "adapter_model.safetensors", "adapter_config.json", ".gitattributes",
        "Config.json",
        "config.json ", "../config.json", "сonfig.json", "model.safetensors\n", "model.sig",
        "model-1-of-2.safetensors", "model-٠٠٠٠١-of-٠٠٠٠١.safetensors", "",
    ],
)  # fmt: skip
def test_every_other_name_is_refused(name: str) -> None:
    assert not artifact.is_allowed(name)


@pytest.mark.parametrize(
    "model", ["", "..", "a/b", "A", "-a", "a-", "a..b", "mödel", "a" * 97, "a\n"]
)
def test_a_model_name_that_is_no_path_component_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match="choose another name"):
        artifact.check_model_name(model)


@pytest.mark.parametrize(
    "version", ["", "latest", "v1.0.0", "1.0/2", "1..0", "..", "1.0.0-foo.bar"]
)
def test_a_version_that_has_no_place_in_the_order_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match="choose another"):
        artifact.check_version(version)


def test_versions_are_ordered_as_versions_not_as_words() -> None:
    found = ["1.10.0", "1.9.0", ".claims", "1.10.0rc1", "junk", "0.1", "1.10.0-beta.2"]
    expected = ["0.1", "1.9.0", "1.10.0-beta.2", "1.10.0rc1", "1.10.0"]
    assert artifact.in_order(found) == expected


def test_two_spellings_of_one_version_are_the_same() -> None:
    assert artifact.same_version("1.0", ["0.9", "1.0.0"]) == "1.0.0"
    assert artifact.same_version("1.0.0", ["1.0.0", "1.0.1"]) is None


def test_an_unknown_version_is_answered_with_what_exists() -> None:
    error = artifact.unknown("version", "1.3.0", ["1.0.0", "1.2.0"], "store/m")
    assert "'1.0.0', '1.2.0'" in str(error)
    assert "did you mean '1.2.0'" in str(error)


def test_the_digest_is_that_of_the_stored_manifest_whatever_the_order_of_its_files() -> None:
    one, two = FileEntry(size=1, sha256=DIGEST), FileEntry(size=2, sha256=DIGEST)
    manifest = Manifest(files={"config.json": one, "LICENSE": two})
    same = Manifest(files={"LICENSE": two, "config.json": one})
    assert manifest.digest == same.digest
    assert manifest.digest == "sha256:" + hashlib.sha256(manifest.canonical()).hexdigest()
    assert manifest.size_bytes == 3


def test_a_manifest_names_only_files_that_an_artifact_may_hold() -> None:
    with pytest.raises(ValidationError, match="not a file name"):
        Manifest.model_validate({"files": {"../x": {"size": 1, "sha256": DIGEST}}})


@given(
    st.dictionaries(
        st.sampled_from(["config.json", "LICENSE", "merges.txt", "model.safetensors"]),
        st.tuples(st.integers(0, 2**50), st.binary(min_size=32, max_size=32)),
        min_size=1,
    )
)
def test_a_manifest_survives_being_written_and_read(files: dict[str, tuple[int, bytes]]) -> None:
    manifest = Manifest(
        files={name: FileEntry(size=s, sha256=d.hex()) for name, (s, d) in files.items()}
    )
    read = Manifest.model_validate_json(manifest.canonical())
    assert read == manifest
    assert read.canonical() == manifest.canonical()
    assert read.difference(manifest) == []


def test_a_release_manifest_is_an_in_toto_statement_about_the_artifact() -> None:
    release = artifact.release_manifest(
        model="m",
        version="1.0.0",
        digest=f"sha256:{DIGEST}",
        chat_template_sha256=None,
        sequence=3,
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    read = artifact.ReleaseManifest.model_validate_json(release.canonical())
    assert read == release
    assert read.artifact_digest == f"sha256:{DIGEST}"
    assert b'"created_at":"2026-01-02T03:04:05Z"' in release.canonical()
    assert b'"_type":"https://in-toto.io/Statement/v1"' in release.canonical()
