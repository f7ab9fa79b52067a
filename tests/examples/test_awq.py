"""The four-bit layout: nibble order, grids, and the error that rounding may leave."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import awq

WEIGHTS = hnp.arrays(
    np.float32,
    st.tuples(st.sampled_from([8, 16]), st.sampled_from([128, 256])),
    elements=st.floats(-4, 4, width=32),
)


def test_eight_outputs_share_a_word_in_the_order_that_kernels_expect() -> None:
    word = awq.pack(np.arange(8, dtype=np.uint8)[None, :])
    assert word.shape == (1, 1)
    assert word.view(np.uint32)[0, 0] == 0x75316420


@given(hnp.arrays(np.uint8, (3, 16), elements=st.integers(0, 15)))
def test_unpacking_undoes_packing(nibbles: np.ndarray) -> None:
    np.testing.assert_array_equal(awq.unpack(awq.pack(nibbles)), nibbles)


@given(WEIGHTS)
def test_a_weight_comes_back_within_half_a_step(weight: np.ndarray) -> None:
    layer = awq.quantise(weight)
    step = np.repeat(layer.scales.astype(np.float32), awq.GROUP_SIZE, axis=0).T
    # The step itself is rounded to float16, one part in 2,048, and counts up to 15 times.
    allowed = step * (0.5 + 15 / 2048) + 1e-6
    assert (np.abs(awq.dequantise(layer) - weight) <= allowed).all()


@given(WEIGHTS)
def test_the_shapes_are_those_of_the_format(weight: np.ndarray) -> None:
    out, size = weight.shape
    layer = awq.quantise(weight)
    assert (layer.qweight.dtype, layer.qweight.shape) == (np.int32, (size, out // 8))
    assert (layer.qzeros.dtype, layer.qzeros.shape) == (np.int32, (size // 128, out // 8))
    assert (layer.scales.dtype, layer.scales.shape) == (np.float16, (size // 128, out))


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_a_group_of_one_value_is_kept(value: float) -> None:
    weight = np.full((8, 128), value, dtype=np.float32)
    np.testing.assert_allclose(awq.dequantise(awq.quantise(weight)), weight, rtol=1e-3)


def test_each_group_has_a_grid_of_its_own() -> None:
    weight = np.concatenate([np.full((8, 128), 0.001), np.full((8, 128), 1000.0)], axis=1)
    kept = awq.dequantise(awq.quantise(weight.astype(np.float32)))
    np.testing.assert_allclose(kept, weight, rtol=0.05)


def test_a_clip_narrows_the_grid_of_its_group_alone() -> None:
    weight = np.random.default_rng(0).normal(size=(8, 256)).astype(np.float32)
    clip = np.ones((8, 2), dtype=np.float32)
    clip[3, 1] = 0.5
    whole, clipped = awq.quantise(weight).scales, awq.quantise(weight, clip).scales
    changed = whole != clipped
    assert changed[1, 3]
    assert changed.sum() == 1
    assert clipped[1, 3] == pytest.approx(whole[1, 3] / 2, rel=1e-3)


@pytest.mark.parametrize("shape", [(8, 100), (8, 64)])
def test_inputs_that_fill_no_group_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiple of 128"):
        awq.quantise(np.zeros(shape, dtype=np.float32))


def test_outputs_that_fill_no_word_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        awq.pack(np.zeros((1, 7), dtype=np.uint8))


def test_a_value_over_four_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="4 bits"):
        awq.pack(np.full((1, 8), 16, dtype=np.uint8))
