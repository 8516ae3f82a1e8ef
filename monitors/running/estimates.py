"""Estimate performance from scores; the labels that calibrate them are read once a day."""

from datetime import datetime, timedelta

import numpy as np

from driftline import names
from driftline.config import Metric, Model
from driftline.config.monitors import LABELS
from driftline.losses import YES_NO
from driftline.monitors.performance import estimated
from driftline.monitors.performance.estimated import Calibration, Chances, Losses
from driftline.monitors.windows.verdict import Verdict, Window
from driftline.profile.binning import NumericBins
from driftline.profile.profile import Profile
from driftline.storage.connection import Connection
from driftline.storage.monitoring import window_sample
from driftline.storage.profiles.profile_rows import floor

_DAY = timedelta(days=1)
_MAX_AGE = timedelta(days=30)  # labels of older events are not used
_CACHED = 8  # days: late windows and several lengths need more than one


class Estimates:
    """Estimates the performance of one model; there are no estimates without `labels`.

    Parameters:
        name: the model's name in the config.
        model: its section.
    """

    def __init__(self, name: str, model: Model) -> None:
        self._name = name
        self._model = model
        self._calibrations: dict[tuple[int, datetime, NumericBins], Calibration | None] = {}

    def judge(
        self,
        connection: Connection,
        window: Window,
        version: int,
        current: Profile,
        reference: Profile | None,
    ) -> list[Verdict]:
        """Estimate one window of one version.

        Parameters:
            current: profile of its rows.
            reference: that of the version.
        """
        metric, bins = self._model.metric, current.binning.by_name[names.SCORE]
        if metric is None or not isinstance(bins, NumericBins):
            return []
        calibration = self._calibration(connection, metric, window, version, bins)
        if calibration is None:
            return []
        column = current.column(names.SCORE)
        same = reference is not None and reference.binning.by_name[names.SCORE] == bins
        expected = reference.column(names.SCORE) if reference is not None and same else None
        return [estimated.judge(calibration, column, expected, version)]

    def _calibration(
        self,
        connection: Connection,
        metric: Metric,
        window: Window,
        version: int,
        bins: NumericBins,
    ) -> Calibration | None:
        """From the labels that had arrived by the start of the UTC day in which the window starts,
        so that it does not depend on when and in which order windows are judged."""
        day = floor(window.start, _DAY // timedelta(minutes=1))
        key = version, day, bins
        if key not in self._calibrations:
            if len(self._calibrations) >= _CACHED:
                del self._calibrations[next(iter(self._calibrations))]
            self._calibrations[key] = self._learn(connection, metric, day, version, bins)
        return self._calibrations[key]

    def _learn(
        self,
        connection: Connection,
        metric: Metric,
        day: datetime,
        version: int,
        bins: NumericBins,
    ) -> Calibration | None:
        assert self._model.labels is not None
        sample = window_sample.read(
            connection,
            self._name,
            day - _MAX_AGE,
            day,
            rows=LABELS,
            version=version,
            features=False,
            labelled=True,
            labels_until=day,
        )
        label, score = window_sample.scored(sample)
        yes_no = metric in YES_NO or self._model.labels.type == "bool"
        enough = len(label) >= self._model.monitors.performance.min_labels
        if yes_no:
            binary = bool(np.isin(label, (0, 1)).all())
            return Chances.of(metric, bins, label, score) if enough and binary else Chances(metric)
        return Losses.of(metric, bins, label, score) if enough else None
