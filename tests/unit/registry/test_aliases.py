"""The canary's tag: what others have written there is no canary."""

import pytest

from driftline.registry.aliases import parse


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
    assert parse(text) is None
