import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from tngd_bench.datasets.idx import read_idx, write_idx


@given(arrays(np.uint8, array_shapes(max_dims=4)))
def test_what_is_written_is_read(array):
    assert np.array_equal(read_idx(write_idx(array)), array)


def test_the_header_is_that_of_the_original_files(real_mnist):
    content = gzip.decompress((real_mnist / "t10k-labels-idx1-ubyte.gz").read_bytes())
    labels = read_idx(content)
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert write_idx(labels) == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00\x00\x00\x00", "unsigned bytes: it begins with 00000d01"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x05abc", "3 bytes of data for the shape"),
    ],
)
def test_other_bytes_are_refused(content, message):
    with pytest.raises(ValueError, match=message):
        read_idx(content)
