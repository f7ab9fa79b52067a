"""Where things are: the environment's words, defaults beside the working folder, absolute paths."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.errors import ConfigError
from flows.settings import from_environment


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_any_word_everything_lies_under_the_working_folder(here: Path) -> None:
    settings = from_environment({})
    assert settings.home == here / ".assay"
    assert settings.store == str(here / ".assay/store")
    assert settings.trust == here / "trust.yaml"
    assert settings.tracking_uri == f"sqlite:///{here / '.assay/mlflow.db'}"
    assert settings.who
    for folder in ("answers", "reports", "locks", "staging", "caches"):
        assert getattr(settings, folder) == here / ".assay" / folder


def test_every_word_of_the_environment_is_heard(here: Path) -> None:
    settings = from_environment(
        {
            "ASSAY_HOME": "state",
            "ASSAY_STORE": "models",
            "ASSAY_TRUST": "keys/trust.yaml",
            "MLFLOW_TRACKING_URI": "https://mlflow.example",
            "ASSAY_WHO": "release bot",
        }
    )
    assert settings.home == here / "state"
    assert settings.store == str(here / "models")
    assert settings.trust == here / "keys/trust.yaml"
    assert (settings.tracking_uri, settings.who) == ("https://mlflow.example", "release bot")


def test_a_store_at_a_url_stays_a_url() -> None:
    assert from_environment({"ASSAY_STORE": "s3://bucket/models"}).store == "s3://bucket/models"


@pytest.mark.parametrize("name", ["ASSAY_HOME", "ASSAY_STORE", "ASSAY_TRUST", "ASSAY_WHO"])
def test_an_empty_word_is_no_word(name: str) -> None:
    assert from_environment({name: ""}) == from_environment({})


def test_paths_do_not_follow_a_later_change_of_folder(here: Path, tmp_path: Path) -> None:
    settings = from_environment({"ASSAY_HOME": "state"})
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    assert settings.home == here / "state"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without a name")
def test_a_user_without_a_name_still_signs_as_somebody() -> None:
    root = Path(__file__).parents[2]
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from flows.settings import from_environment\n"
        "os.setuid(54321)\n"
        "print(from_environment({}).who)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, root],
        cwd="/", env={}, capture_output=True, timeout=60, check=True, text=True,
    )  # fmt: skip
    assert done.stdout == "uid-54321\n"


@pytest.mark.parametrize(
    ("words", "size"),
    [("0", 0), ("1000", 1000), ("1.5 KiB", 1536), ("3MiB", 3 * 2**20), ("20GiB", 20 * 2**30)],
)
def test_the_limit_of_the_downloads_is_a_size(words: str, size: int) -> None:
    assert from_environment({"ASSAY_CACHE_LIMIT": words}).cache_limit_bytes == size
    assert from_environment({}).cache_limit_bytes == 20 * 2**30


@pytest.mark.parametrize("words", ["much", "-1", "5GB", "1e9", "GiB"])
def test_a_limit_that_is_no_size_is_a_wrong_setting(words: str) -> None:
    with pytest.raises(ConfigError, match="ASSAY_CACHE_LIMIT"):
        from_environment({"ASSAY_CACHE_LIMIT": words})


def test_a_stores_options_are_a_json_object() -> None:
    heard = from_environment({"ASSAY_STORE_OPTIONS": '{"endpoint_url": "http://127.0.0.1:9"}'})
    assert heard.store_options == {"endpoint_url": "http://127.0.0.1:9"}
    for wrong in ("[]", "endpoint=x"):
        with pytest.raises(ConfigError, match="ASSAY_STORE_OPTIONS"):
            from_environment({"ASSAY_STORE_OPTIONS": wrong})
