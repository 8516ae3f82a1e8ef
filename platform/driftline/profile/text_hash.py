"""A text hash that is equal in every process and release: it selects the cells of texts.

The sum of each byte times a random number for its position: a family of universal hashes
(Carter and Wegman 1979), mixed as splitmix64 does. Over Arrow's buffers, without a loop over texts.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_PLACES = 4_096  # random numbers; longer texts reuse them
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def buckets(texts: pa.StringArray, number: int) -> npt.NDArray[np.int64]:
    """int64[n], the bucket of each text.

    Parameters:
        texts: n texts, none missing.
        number: number of buckets, a power of 2.

    >>> buckets(pa.array(["de", "fr", "", "de"]), 256).tolist()
    [224, 57, 0, 224]
    """
    bits = number.bit_length() - 1
    if not bits or not len(texts):
        return np.zeros(len(texts), dtype=np.int64)
    return (_hashes(texts) >> np.uint64(64 - bits)).astype(np.int64)


def _hashes(texts: pa.StringArray) -> npt.NDArray[np.uint64]:
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1]
    content = texts.buffers()[2]
    sums = np.zeros(len(texts), dtype=np.uint64)
    lengths = np.diff(offsets)
    if content is None or not lengths.any():
        return sums
    data = np.frombuffer(content, np.uint8)[offsets[0] : offsets[-1]]
    non_empty = np.flatnonzero(lengths)
    starts = (offsets[:-1] - offsets[0])[non_empty]
    position = np.arange(len(data)) - np.repeat(starts, lengths[non_empty])
    terms = (data + np.uint64(1)) * _NUMBERS[position % _PLACES]
    sums[non_empty] = np.add.reduceat(terms, starts)
    return _mixed(sums)


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


# odd, so that no byte is lost
_NUMBERS = _mixed(np.arange(1, _PLACES + 1, dtype=np.uint64) * _GOLDEN) | np.uint64(1)
