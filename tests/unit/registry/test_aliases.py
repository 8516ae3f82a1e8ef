"""The canary's tag: invalid content counts as no canary."""

import pytest

from driftline.registry.aliases import parse_canary


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "null",
        "[]",
        "{}",
        '{"percent": 5}',
        '{"percent": "x", "version": 1, "since": ""}',
        '{"percent": 101, "version": 1, "since": ""}',
        '{"percent": -1, "version": 1, "since": ""}',
        '{"percent": NaN, "version": 1, "since": ""}',
    ],
)
def test_what_is_no_canary(text: str) -> None:
    assert parse_canary(text) is None
