"""States differ for colour-blind readers too, on Grafana's dark and light page."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from driftline.dashboards.panels import palette

Colour = NDArray[np.float64]

# Machado, Oliveira and Fernandes (2009), severity 1, of linear RGB
SIGHTS: dict[str, Colour] = {
    "full": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_XYZ: Colour = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
STATES = {
    "ok": palette.OK,
    "pending": palette.PENDING,
    "alarm": palette.ALARM,
    "broken": palette.BROKEN,
    "not calibrated": palette.NOT_CALIBRATED,
    "neutral": palette.NEUTRAL,
}
APART = 15.0  # of CIE 1976's distance, in which about 2.3 are just seen
PAGES = {"#181b1f": 3.0, "#ffffff": 2.2}  # and the contrast on it; WCAG 2.1 asks for 3 of graphics


def linear(colour: str) -> Colour:
    rgb = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: Colour) -> Colour:
    """CIE 1976 L*a*b*, of linear RGB."""
    xyz = TO_XYZ @ rgb / TO_XYZ.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHTS)
def test_no_two_states_look_alike(sight: str) -> None:
    seen = {
        state: lab(np.clip(SIGHTS[sight] @ linear(colour), 0, 1))
        for state, colour in STATES.items()
    }
    near = {
        (one, other): round(float(np.linalg.norm(seen[one] - seen[other])), 1)
        for one, other in combinations(seen, 2)
    }
    assert min(near.values()) >= APART, {pair: d for pair, d in near.items() if d < APART}


@pytest.mark.parametrize("page", PAGES)
def test_states_can_be_read_on_the_page(page: str) -> None:
    luminance = {
        state: float((TO_XYZ @ linear(c))[1]) for state, c in {**STATES, "page": page}.items()
    }
    behind = luminance.pop("page")
    for state, one in luminance.items():
        low, high = sorted((one, behind))
        assert (high + 0.05) / (low + 0.05) >= PAGES[page], state
