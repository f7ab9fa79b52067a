"""The classic AWQ layout: four-bit weights in groups of 128, packed eight to an int32.

Decides how numbers become nibbles and back; needs numpy only. Which layers are quantised, and how
their inputs are scaled beforehand, is left to `scaling`; files are left to `checkpoint`.

A linear layer with weight [out, in] becomes three tensors (AutoAWQ's "gemm" version, which vLLM
reads):

    qweight int32 [in, out / 8]         scales float16 [in / group, out]
    qzeros  int32 [in / group, out / 8]

Row `i` of `qweight` holds input `i`. Eight neighbouring outputs share an int32; the nibble at bits
4k..4k+3 belongs to output ORDER[k] of the eight. weight = (nibble - zero) * scale.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BITS = 4
GROUP_SIZE = 128
PER_WORD = 32 // BITS
LEVELS = 2**BITS - 1
# The order that lets a GPU unpack two halves at once; every AWQ kernel expects it.
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)

Floats = npt.NDArray[np.float32]
Nibbles = npt.NDArray[np.uint8]
Words = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLinear:
    """One quantised linear layer as AWQ stores it (shapes in the module's docstring)."""

    qweight: Words
    qzeros: Words
    scales: npt.NDArray[np.float16]


def pack(nibbles: Nibbles) -> Words:
    """Pack values 0..15 of shape [rows, out] into int32 words of shape [rows, out / 8].

    Raises:
        ValueError: `out` is no multiple of 8, or a value does not fit into four bits.
    """
    rows, out = nibbles.shape
    if out % PER_WORD:
        raise ValueError(f"{out} outputs cannot be packed; expected a multiple of {PER_WORD}")
    if nibbles.size and int(nibbles.max()) > LEVELS:
        raise ValueError(f"value {int(nibbles.max())} does not fit into {BITS} bits")
    eights = nibbles.reshape(rows, out // PER_WORD, PER_WORD).astype(np.uint32)
    words = np.zeros(eights.shape[:2], dtype=np.uint32)
    for position, source in enumerate(ORDER):
        words |= eights[:, :, source] << np.uint32(BITS * position)
    return words.view(np.int32)


def unpack(words: Words) -> Nibbles:
    """Undo `pack`: int32 words [rows, out / 8] to values 0..15 of shape [rows, out]."""
    unsigned = np.ascontiguousarray(words).view(np.uint32)
    eights = np.empty((*words.shape, PER_WORD), dtype=np.uint8)
    for position, source in enumerate(ORDER):
        eights[:, :, source] = (unsigned >> np.uint32(BITS * position)) & LEVELS
    return eights.reshape(words.shape[0], -1)


def quantise(weight: Floats, clip: Floats | float = 1.0) -> PackedLinear:
    """Round a weight [out, in] to four bits, each group of 128 inputs on a grid of its own.

    Args:
        weight: The layer's weight, shape [out, in].
        clip: Share of each group's range that the grid covers, one for all or of shape
            [out, in / group]. Under 1, the outermost weights are cut off and the grid is finer.

    Raises:
        ValueError: The input size is no multiple of the group size.
    """
    out, size = weight.shape
    if size % GROUP_SIZE:
        raise ValueError(f"{size} inputs cannot be grouped; expected a multiple of {GROUP_SIZE}")
    groups = weight.astype(np.float32).reshape(out, size // GROUP_SIZE, GROUP_SIZE)
    # A range that contains 0 keeps the zero point inside the four bits.
    high = np.maximum(groups.max(axis=2), 0.0) * clip
    low = np.minimum(groups.min(axis=2), 0.0) * clip
    # Rounded to float16 first: the nibbles must fit the scale that is stored. The floor is
    # float16's smallest normal number, for a group whose weights are all 0.
    scales = np.maximum((high - low) / LEVELS, np.finfo(np.float16).tiny).astype(np.float16)
    step = scales.astype(np.float32)
    zeros = np.clip(np.rint(-low / step), 0, LEVELS)
    nibbles = np.clip(np.rint(groups / step[:, :, None]) + zeros[:, :, None], 0, LEVELS)
    return PackedLinear(
        qweight=pack(np.ascontiguousarray(nibbles.reshape(out, size).T).astype(np.uint8)),
        qzeros=pack(np.ascontiguousarray(zeros.T).astype(np.uint8)),
        scales=np.ascontiguousarray(scales.T),
    )


def dequantise(layer: PackedLinear) -> Floats:
    """Return the weight [out, in] that a kernel computes with."""
    nibbles = unpack(layer.qweight).astype(np.float32)
    zeros = np.repeat(unpack(layer.qzeros).astype(np.float32), GROUP_SIZE, axis=0)
    scales = np.repeat(layer.scales.astype(np.float32), GROUP_SIZE, axis=0)
    weight: Floats = ((nibbles - zeros) * scales).T.astype(np.float32)
    return weight
