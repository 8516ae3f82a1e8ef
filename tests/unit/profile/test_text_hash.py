"""A hash of texts: the same everywhere, and even."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from driftline.profile.text_hash import buckets

TEXTS = st.lists(st.text(max_size=20), max_size=30)


@given(TEXTS, st.integers(0, 5))
def test_of_the_text_alone(texts: list[str], start: int) -> None:
    found = buckets(pa.array(texts, pa.string()), 1_024).tolist()
    assert found == [int(buckets(pa.array([text]), 1_024)[0]) for text in texts]
    part = buckets(pa.array(texts, pa.string()).slice(start), 1_024).tolist()
    assert part == found[start:]


def test_similar_texts_are_spread_evenly() -> None:
    for pattern in (
        "shop-{}",
        "{}",
        "{:032x}",
        "{} street, a long name of a town behind hills",
    ):
        texts = pa.array([pattern.format(i) for i in range(20_000)])
        counts = np.bincount(buckets(texts, 256), minlength=256)
        expected = len(texts) / 256
        assert ((counts - expected) ** 2 / expected).sum() < 350  # chi-squared, 255: p about 1e-4


def test_it_stays_what_it_is() -> None:
    """Stored cells are of this hash: another one would be another binning."""
    texts = pa.array(["de", "", "\u00e9t\u00e9", "a" * 10_000])
    assert buckets(texts, 1_024).tolist() == [896, 0, 500, 398]
