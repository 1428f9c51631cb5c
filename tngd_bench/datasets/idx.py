"""The IDX format of unsigned bytes.

Two zero bytes, 0x08, the number of dimensions, each dimension as four big-endian bytes, then the data.
"""

import struct

import numpy as np
from numpy.typing import NDArray

_UNSIGNED_BYTE = 0x08


def write_idx(array: NDArray[np.uint8]) -> bytes:
    """Return the IDX bytes of `array`."""
    header = struct.pack(f">HBB{array.ndim}I", 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    return header + array.tobytes()


def read_idx(content: bytes) -> NDArray[np.uint8]:
    """Return the array, which shares the memory of `content`; ValueError when the bytes are not IDX."""
    try:
        zero, kind, dimensions = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
    except struct.error as error:
        raise ValueError(f"not an IDX file: {error}") from None
    if zero != 0 or kind != _UNSIGNED_BYTE:
        raise ValueError(f"not an IDX file of unsigned bytes: it begins with {content[:4].hex()}")
    data = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    if data.size != np.prod(shape):
        raise ValueError(f"not an IDX file: {data.size} bytes of data for the shape {shape}")
    return data.reshape(shape)
