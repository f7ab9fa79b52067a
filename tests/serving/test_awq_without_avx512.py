"""The plug-in with which vLLM serves AWQ on processors without AVX-512."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import serving_rig

pytestmark = [pytest.mark.vllm, pytest.mark.paired, serving_rig.needs_vllm]
BFLOAT16_ROUNDING = 2**-8


@pytest.fixture(scope="module")
def measured() -> Mapping[str, Any]:
    """What `kernel_checks.py` measured."""
    done = subprocess.run(
        [serving_rig.SERVING_PYTHON, Path(__file__).parent / "kernel_checks.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("rows", ["1", "3", "40"])
def test_a_product_is_that_of_the_weights_which_the_file_stands_for(
    measured: Mapping[str, Any], rows: str
) -> None:
    assert measured["strayed"][rows] < 2 * BFLOAT16_ROUNDING


def test_it_is_chosen_where_and_only_where_vllms_own_kernel_is_missing(
    measured: Mapping[str, Any],
) -> None:
    packed = measured["has_packed_kernel"]
    assert measured["chosen"] == ("CPUWNA16LinearKernel" if packed else "UnpackedLinearKernel")


def test_it_strays_no_further_than_vllms_own(measured: Mapping[str, Any]) -> None:
    theirs = measured["packed_kernel_strayed"]
    if theirs is None:
        pytest.skip("this processor has no AVX-512, so there is no kernel to compare with")
    assert measured["strayed"]["3"] < theirs + BFLOAT16_ROUNDING
