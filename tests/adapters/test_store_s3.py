"""The trusted store on S3: the contract that depends on where bytes lie, against a real server."""

from datetime import datetime
from pathlib import Path

import pytest

from assay.adapters.sealed_store import SealedStore
from assay.adapters.store_cache import BlobCache
from assay.adapters.store_fsspec import FsspecStore
from assay.errors import InfrastructureError
from assay.trust import TrustedKeys
from tests.adapters import test_store_contract as contract
from tests.adapters.test_store_contract import Place, Rig
from tests.artifact_factory import make_keys
from tests.s3_rig import S3Server


def s3_place(server: S3Server, cache: BlobCache) -> Place:
    system, root = server.files(), f"{server.bucket()}/store"

    def write(path: str, data: bytes | None) -> None:
        if data is None:
            system.rm_file(f"{root}/{path}")
        else:
            system.pipe_file(f"{root}/{path}", data)

    def files() -> dict[str, bytes]:
        system.invalidate_cache()
        found = system.find(root)
        return {name.removeprefix(f"{root}/"): system.cat_file(name) for name in found}

    def opened(keys: TrustedKeys, now: datetime) -> SealedStore:
        url = f"s3://{root}"
        return FsspecStore(
            url, keys, clock=lambda: now, storage_options=server.options, cache=cache
        )

    return Place(opened, files, write)


@pytest.fixture
def rig(s3: S3Server, tmp_path: Path) -> Rig:
    cache = BlobCache(tmp_path / "cache", limit_bytes=2**30)
    return Rig(s3_place(s3, cache), tmp_path / "work")


# What depends on how a place lists, reads and writes; the seals are the same everywhere.
test_a_version_comes_back = contract.test_a_version_comes_back_as_it_was_published
test_versions_are_listed = contract.test_versions_are_listed_oldest_first
test_the_same_again = contract.test_publishing_the_same_again_changes_nothing
test_other_bytes = contract.test_publishing_other_bytes_as_the_same_version_is_refused
test_a_killed_publisher = contract.test_what_a_killed_publisher_left_is_no_version_and_is_replaced
test_sequences = contract.test_each_publication_has_a_higher_sequence
test_an_unknown_version = contract.test_an_unknown_version_lists_what_exists
test_an_unknown_model = contract.test_an_unknown_model_lists_what_exists
test_an_extra_file = contract.test_an_extra_file_is_refused
test_a_folder = contract.test_a_file_in_a_folder_is_refused
test_a_longer_file = contract.test_a_longer_file_is_refused_before_it_is_copied
test_a_rotation = contract.test_after_a_rotation_old_and_new_versions_are_good
test_a_second_publisher = contract.test_a_second_publisher_waits
test_a_dead_claim = contract.test_a_claim_of_a_dead_process_counts_no_more


def test_a_server_that_is_gone_is_no_empty_store(tmp_path: Path) -> None:
    gone = S3Server("http://127.0.0.1:9")
    keys = make_keys(tmp_path / "keys")
    options = dict(gone.options) | {"config_kwargs": {"retries": {"max_attempts": 0}}}
    store = FsspecStore("s3://models/root", keys.trusted, storage_options=options)
    with pytest.raises(InfrastructureError, match="cannot list"):
        store.versions("m")
