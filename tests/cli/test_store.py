"""`assay store`: keys, publishing, listing, pulling, verifying, and whom to trust."""

from pathlib import Path

import pytest

from tests.artifact_factory import make_artifact
from tests.cli.conftest import Assay
from tests.cli_desk import Desk


@pytest.fixture
def store(assay: Assay, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A project with a key, and version 1.0.0 of `emotion` in its store."""
    for name in ("ASSAY_STORE", "ASSAY_TRUST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASSAY_HOME", str(desk.folder / "home"))
    assert assay("store", "keygen", "key.pem", "key.pub").code == 0
    trust = "schema_version: 1\nkeys:\n  - {name: release, public_key: key.pub}\n"
    desk.write("trust.yaml", trust)
    make_artifact(desk.folder / "model")
    published = assay("store", "publish", "model", "emotion", "1.0.0", "--key", "key.pem", "--json")
    assert published.code == 0, published.err
    return desk


def test_a_version_is_published_listed_pulled_and_verified(assay: Assay, store: Desk) -> None:
    listed = assay("store", "list", "emotion", "--json")
    assert listed.document == {"model": "emotion", "versions": ["1.0.0"]}
    assert assay("store", "list", "emotion").out == "1.0.0\n"
    pulled = assay("store", "pull", "emotion", "1.0.0", "copy", "--json")
    assert pulled.code == 0
    assert Path(pulled.document["folder"]).is_dir()
    verified = assay("store", "verify", "emotion", "1.0.0", "--json")
    assert verified.document["digest"] == pulled.document["digest"]
    assert "is what it claims to be" in assay("store", "verify", "emotion", "1.0.0").out
    again = assay("store", "publish", "model", "emotion", "1.0.0", "--key", "key.pem", "--json")
    assert (again.code, again.document["digest"]) == (0, pulled.document["digest"])


def test_a_signed_folder_is_a_version_once_it_lies_in_the_store(assay: Assay, store: Desk) -> None:
    words = ("store", "sign", "model", "emotion", "1.1.0", "signed", "--key", "key.pem", "--json")
    signed = assay(*words)
    assert signed.code == 0, signed.err
    assert assay("store", "list", "emotion").out == "1.0.0\n", "nothing was published"
    assert assay(*words).code == 2, "a folder is never overwritten"
    (store.folder / "signed").rename(store.folder / "home/store/emotion/1.1.0")
    verified = assay("store", "verify", "emotion", "1.1.0", "--json")
    assert verified.document["digest"] == signed.document["digest"]
    renamed = store.folder / "home/store/emotion/1.1.0"
    renamed.rename(store.folder / "home/store/emotion/1.2.0")
    replayed = assay("store", "verify", "emotion", "1.2.0", "--json")
    assert (replayed.code, "[replay]" in replayed.error) == (10, True)


def test_a_changed_byte_is_refused_and_nothing_is_left(assay: Assay, store: Desk) -> None:
    path = store.folder / "home/store/emotion/1.0.0/config.json"
    path.write_bytes(path.read_bytes().replace(b"qwen2", b"qwen3"))
    done = assay("store", "verify", "emotion", "1.0.0", "--json")
    assert done.code == 10
    assert "config.json" in done.error
    assert assay("store", "pull", "emotion", "1.0.0", "copy", "--json").code == 10
    assert not (store.folder / "copy").exists()


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("publish model emotion 1.0.0 --key key.pub", 2, "not an unencrypted private key"),
        ("publish model emotion newest --key key.pem", 2, "version 'newest'"),
        ("publish model ../emotion 1.1.0 --key key.pem", 2, "model name '../emotion'"),
        ("publish nowhere emotion 1.1.0 --key key.pem", 2, "'nowhere' does not exist"),
        ("publish model emotion 1.1.0", 2, "--key"),
        ("pull emotion 9.9.9 copy", 2, "no version '9.9.9'; expected one of '1.0.0'"),
        ("pull emotoin 1.0.0 copy", 2, "no model 'emotoin'; expected one of 'emotion'"),
        ("pull emotion 1.0.0 model", 2, "model: not an empty folder"),
        ("verify emotion 9.9.9", 2, "no version '9.9.9'"),
        ("list emotoin", 2, "no version of 'emotoin'"),
        ("keygen key.pem other.pub", 2, "key.pem: exists already"),
    ],
)
def test_a_store_request_that_cannot_be_met(
    assay: Assay, store: Desk, command: str, code: int, words: str
) -> None:
    done = assay("store", *command.split(), "--json") if "keygen" not in command else None
    if done is None:
        plain = assay("store", *command.split())
        assert (plain.code, plain.out) == (code, "")
        assert words in plain.err
        return
    assert done.code == code
    assert words in done.error


def test_another_version_under_the_same_name_is_refused(assay: Assay, store: Desk) -> None:
    make_artifact(store.folder / "other", seed=7)
    done = assay("store", "publish", "other", "emotion", "1.0.0", "--key", "key.pem", "--json")
    assert done.code == 10
    assert "exists already with other bytes" in done.error


def test_a_stranger_vouches_for_nothing(assay: Assay, store: Desk) -> None:
    assert assay("store", "keygen", "mine.pem", "mine.pub").code == 0
    trust = "schema_version: 1\nkeys:\n  - {name: other, public_key: mine.pub}\n"
    store.write("trust.yaml", trust)
    done = assay("store", "verify", "emotion", "1.0.0", "--json")
    assert done.code == 10


@pytest.mark.parametrize(
    ("trust", "words"),
    [
        (None, "assay store keygen"),
        ("", "holds nothing"),
        ("schema_version: 1\nkeys: []\n", "at least one of keys"),
        (
            "schema_version: 1\nkeys:\n  - {name: a, public_key: nowhere.pub}\n",
            "nowhere.pub: no such",
        ),
        ("schema_version: 1\nkeys:\n  - {name: a, public_key: key.pem}\n", "not a public key"),
    ],
)
def test_trust_that_is_none(assay: Assay, store: Desk, trust: str | None, words: str) -> None:
    path = store.folder / "trust.yaml"
    path.unlink() if trust is None else path.write_text(trust)
    done = assay("store", "list", "emotion", "--json")
    assert done.code == 2
    assert words in done.error


def test_a_store_that_is_not_there_is_no_usage_error(
    assay: Assay, store: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_STORE", str(store.folder / "unmounted"))
    done = assay("store", "list", "emotion", "--json")
    assert done.code == 12
    assert "unmounted" in done.error


def test_a_template_is_shown_with_the_entry_that_allows_it(assay: Assay, store: Desk) -> None:
    shown = assay("store", "template", "model/chat_template.jinja", "--json").document
    fields = (f'{name}: "{shown[name]}"' for name in ("sha256", "rendering_sha256"))
    entry = "{" + ", ".join(fields) + "}"
    assert assay("store", "template", "model/chat_template.jinja").out == f"- {entry}\n"
    trust = (store.folder / "trust.yaml").read_text()
    store.write("trust.yaml", f"{trust}artifacts: {{chat_templates: [{entry}]}}\n")
    assert assay("store", "verify", "emotion", "1.0.0", "--json").code == 0
    other = entry.replace(shown["sha256"], "0" * 64)
    store.write("trust.yaml", f"{trust}artifacts: {{chat_templates: [{other}]}}\n")
    refused = assay("store", "verify", "emotion", "1.0.0", "--json")
    assert (refused.code, "[template-pin]" in refused.error) == (10, True)


def test_an_architecture_that_is_not_allowed_is_refused(assay: Assay, store: Desk) -> None:
    trust = (store.folder / "trust.yaml").read_text()
    store.write("trust.yaml", f"{trust}artifacts: {{architectures: [LlamaForCausalLM]}}\n")
    assert assay("store", "verify", "emotion", "1.0.0", "--json").code == 10
    store.write("trust.yaml", f"{trust}artifacts: {{architectures: [SomethingElse]}}\n")
    assert assay("store", "verify", "emotion", "1.0.0", "--json").code == 2
