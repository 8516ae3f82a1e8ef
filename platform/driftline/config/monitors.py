"""The sections of `driftline.yaml` for monitors, notifications and the runner."""

import math
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from driftline.config.types import Duration, Secret, Settings, Share, Wait, WebLink

Family = Literal["drift", "quality", "latency", "volume", "performance", "registry", "pipeline"]
PIPELINE: Final[Family] = "pipeline"  # of driftline itself
Severity = Literal["ticket", "page"]
MONITOR_NAMES = (
    "omnibus",
    "location",
    "largest_category",
    "missing",
    "unexpected",
    "new_value",
    "constant",
    "jensen_shannon",
    "psi",
    "wasserstein",
    "kolmogorov_smirnov",
    "hellinger",
    "total_variation",
    "chi_squared",
    "slow_drift",
    "version_against_version",
)  # monitors whose verdicts have a level
_OWN_SHARE = (
    "slow_drift",
    "version_against_version",
)  # of the budget, independent of the other monitors
_LENGTHS = {timedelta(minutes=m) for m in (1, 5, 10, 15, 30, 60, 120, 180, 240, 360, 480, 720)}
_DAY = timedelta(days=1)
_FINEST = timedelta(minutes=5)  # shorter windows would take too many blocks for a reference
LABELS = 10_000  # maximum events per window whose labels are read: a sample


class WindowLength(Settings):
    """One window length in event time; `1 h` is short for `{length: 1 h}`."""

    length: Wait
    every: Wait | None = Field(
        None, description="time between window starts; default: length, so windows do not overlap"
    )
    min_rows: int = Field(50, ge=1, description="windows with fewer rows are not judged")

    @model_validator(mode="after")
    def _whole_parts(self) -> Self:
        if self.length not in _LENGTHS and (self.length % _DAY or not self.length):
            raise ValueError(
                "length must be 1, 5, 10, 15 or 30 min, 1, 2, 3, 4, 6, 8 or 12 h, or whole days"
            )
        if self.step > self.length or self.length % self.step or self.step % timedelta(minutes=1):
            raise ValueError("every must be whole minutes that divide length")
        return self

    @property
    def step(self) -> timedelta:
        """Time from the start of one window to the next."""
        return self.every or self.length

    @property
    def seconds(self) -> int:
        """The length in seconds."""
        return int(self.length.total_seconds())


def _long_window(window: object) -> object:
    return {"length": window} if isinstance(window, str | timedelta) else window


ShortWindow = Annotated[
    WindowLength, BeforeValidator(_long_window, json_schema_input_type=str | WindowLength)
]


class Check(Settings):
    """Settings of one monitor, where they differ from its defaults."""

    alert: bool | None = Field(None, description="true: may open incidents; false: only shown")
    threshold: float | None = Field(
        None,
        allow_inf_nan=False,
        description="fixed threshold of the value, instead of calibration",
    )
    weight: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="relative share of the budget"
    )


class Objective(Settings):
    """A latency SLO, monitored by burn rate over two windows (SRE Workbook, chapter 5)."""

    limit: Wait = Field(description="predictions that take longer are slow")
    target: float = Field(0.99, gt=0, lt=1, description="share of predictions that are not slow")
    short_window: Wait = timedelta(minutes=5)
    long_window: Wait = timedelta(hours=1)
    burn_rate: float = Field(
        14.4, gt=1, description="times the allowed share of slow ones, in both"
    )


class Latency(Settings):
    """Latency objectives; without one, percentiles are only shown."""

    inference: Objective | None = None
    end_to_end: Objective | None = None


class Evidently(Settings):
    """One metric or preset of Evidently, on a sample of the window's raw rows."""

    name: str = Field(
        pattern=r"^[A-Za-z]\w*$", description="class in evidently.metrics or evidently.presets"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="its parameters")
    rows: int = Field(5_000, ge=10, le=100_000, description="maximum rows to sample")
    timeout: Wait = Field(
        timedelta(minutes=2), description="time limit; exceeding it gives the verdict broken"
    )
    alert: bool = False


class Multivariate(Settings):
    """Drift of columns together, on a bounded sample of raw rows."""

    method: Literal["domain_classifier", "pca_reconstruction"] = "domain_classifier"
    rows: int = Field(2_000, ge=100, le=50_000, description="maximum rows to sample")
    alert: bool = False


class Performance(Settings):
    """Model performance once labels have arrived, for models with a section `labels`."""

    alert: bool = Field(True, description="windows with worse performance may open incidents")
    min_labels: int = Field(
        100, ge=20, le=LABELS, description="windows with fewer labels are not measured"
    )
    label_coverage: Share = Field(
        0.8,
        description="share of events that need labels before a window is judged, until "
        "max_label_delay",
    )
    max_label_delay: Wait = Field(
        timedelta(days=7), description="how long to wait for the labels of a window"
    )
    baseline: Wait = Field(
        timedelta(days=28),
        description="first period of a version, with which its later windows are compared",
    )

    def measurement_ages(self, window: timedelta) -> list[timedelta]:
        """The ages at which a window is measured: 0, its length, then each time the age doubles.

        >>> [str(age) for age in Performance().measurement_ages(timedelta(days=2))]
        ['0:00:00', '2 days, 0:00:00', '4 days, 0:00:00', '7 days, 0:00:00']
        """
        ages, age = [timedelta(0)], window
        while age < self.max_label_delay:
            ages.append(age)
            age *= 2
        return [*ages, self.max_label_delay]


class Hysteresis(Settings):
    """How many windows open an incident, and how many resolve it."""

    fire: int = Field(1, ge=1, le=20, description="number of alarms that open an incident ...")
    of: int = Field(1, ge=1, le=50, description="... within this many consecutive windows")
    resolve: int = Field(
        2, ge=1, le=50, description="consecutive windows without an alarm that resolve it"
    )

    @model_validator(mode="after")
    def _fire_of(self) -> Self:
        if self.fire > self.of:
            raise ValueError("'fire' must not exceed 'of'")
        return self


class Monitors(Settings):
    """The monitors of one model."""

    false_alarms_per_week: float = Field(
        1.0, gt=0, le=1_000, description="budget: expected false incidents per week, over all tests"
    )
    windows: tuple[ShortWindow, ...] = Field(
        (
            WindowLength(length=timedelta(hours=1)),
            WindowLength(length=timedelta(days=1)),
        ),
        min_length=1,
    )
    lateness: Duration = Field(
        timedelta(minutes=10), description="how long after its end a window is judged"
    )
    clock: Literal["wall", "event"] = Field(
        "wall", description="clock that ends windows; event: the newest event time, for replays"
    )
    matching: Literal["none", "hour_of_day", "day_of_week", "hour_of_week"] = Field(
        "none", description="compare with reference windows of the same time of day or week"
    )
    block_length: Wait = Field(
        timedelta(days=7),
        description="period left out together when reference windows are tested against each other",
    )
    assumed_variation: float = Field(
        0.1,
        ge=0,
        le=10,
        description="assumed day-to-day variation in standard deviations, until the reference "
        "shows it",
    )
    burn_in: Wait = Field(
        timedelta(days=14), description="live period that replaces a reference without event times"
    )
    columns: tuple[str, ...] | None = Field(None, description="default: all")
    ignore: tuple[str, ...] = Field((), description="columns that are only shown")
    segments: tuple[str, ...] = Field(
        (), description="segments to judge separately, such as country=de"
    )
    checks: dict[str, Check] = Field(default_factory=dict, description="settings by monitor")
    latency: Latency = Latency()
    no_traffic: Wait | None = Field(
        None, description="alarm when nothing has arrived for this long; default: never"
    )
    rejected: Share = Field(0.05, description="largest accepted share of rejected messages")
    evidently: tuple[Evidently, ...] = ()
    multivariate: Multivariate | None = None
    performance: Performance = Performance()
    accept_after: Wait = Field(
        timedelta(days=28),
        ge=timedelta(days=1),
        le=timedelta(days=366),
        description="volume alarms that last this long are accepted as the new normal",
    )
    hysteresis: Hysteresis = Hysteresis()
    page: tuple[Family, ...] = Field(
        ("latency", "volume", "performance"), description="families that page; others are tickets"
    )

    @property
    def block_minutes(self) -> int:
        """Length of reference blocks that fits the windows: an hour, or less for shorter windows.

        >>> Monitors(windows=("10 min", "15 min", "1 d")).block_minutes
        5
        """
        lengths = (w.length for w in self.windows if w.length >= _FINEST)
        return math.gcd(60, *(length // timedelta(minutes=1) for length in lengths))

    @field_validator("checks")
    @classmethod
    def _known(cls, checks: dict[str, Check]) -> dict[str, Check]:
        for name, check in checks.items():
            if name not in MONITOR_NAMES:
                raise ValueError(
                    f"unknown monitor {name!r}: give one of {', '.join(MONITOR_NAMES)}"
                )
            if name == "slow_drift" and check.threshold is not None:
                raise ValueError(
                    "slow_drift takes no threshold: its limit follows from false_alarms_per_week"
                )
            if name in _OWN_SHARE and check.weight != 1:
                raise ValueError(f"{name} takes no weight: its share of the budget is fixed")
        return checks

    @model_validator(mode="after")
    def _each_length_once(self) -> Self:
        lengths = [window.length for window in self.windows]
        if len(set(lengths)) < len(lengths):
            raise ValueError("window lengths must be unique")
        return self


class Notify(Settings):
    """Where notifications go when Grafana does not deliver them."""

    urls: tuple[Secret, ...] = Field((), description="apprise URLs, each a secret")
    max_per_hour: int = Field(
        20, ge=1, le=10_000, description="maximum messages per hour; further ones wait"
    )
    link: WebLink | None = Field(None, description="URL of the preview or of Grafana")


class Runner(Settings):
    """The process that judges windows: `driftline monitor`."""

    poll_interval: Wait = timedelta(seconds=5)
    shards: int = Field(16, ge=1, le=1024, description="shards that models are assigned to")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="port of Prometheus metrics, on loopback"
    )
    heartbeat_url: Secret | None = Field(
        None, description="URL of a dead man's switch, requested after each successful round"
    )
