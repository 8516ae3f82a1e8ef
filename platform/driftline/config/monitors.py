"""The sections of `driftline.yaml` that say what is watched, how strictly, and who is told."""

import math
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from driftline.config.types import Duration, Secret, Settings, Share, Wait, WebLink

Family = Literal["drift", "quality", "latency", "volume", "performance", "registry", "pipeline"]
PIPELINE: Final[Family] = "pipeline"  # of driftline itself
Severity = Literal["ticket", "page"]
CHECKED = (
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
_OWN_SHARE = ("slow_drift", "version_against_version")  # of the budget, whatever else is watched
_LENGTHS = {timedelta(minutes=m) for m in (1, 5, 10, 15, 30, 60, 120, 180, 240, 360, 480, 720)}
_DAY = timedelta(days=1)
_FINEST = timedelta(minutes=5)  # shorter windows would take too many blocks for a reference
LABELS = 10_000  # events of a window whose labels are looked for, at most: a sample of it


class WindowLength(Settings):
    """One length of windows in event time; `1 h` is short for `{length: 1 h}`."""

    length: Wait
    every: Wait | None = Field(
        None, description="a window starts so often; default: its length, so that none overlap"
    )
    min_rows: int = Field(50, ge=1, description="a window with fewer is not judged")

    @model_validator(mode="after")
    def _whole_parts(self) -> Self:
        if self.length not in _LENGTHS and (self.length % _DAY or not self.length):
            raise ValueError("1, 5, 10, 15 or 30 min, 1, 2, 3, 4, 6, 8 or 12 h, or whole days")
        if self.step > self.length or self.length % self.step or self.step % timedelta(minutes=1):
            raise ValueError("every: whole minutes, and length is a multiple of it")
        return self

    @property
    def step(self) -> timedelta:
        """From the start of one window to the next."""
        return self.every or self.length

    @property
    def seconds(self) -> int:
        """The length."""
        return int(self.length.total_seconds())


def _long_window(window: object) -> object:
    return {"length": window} if isinstance(window, str | timedelta) else window


ShortWindow = Annotated[
    WindowLength, BeforeValidator(_long_window, json_schema_input_type=str | WindowLength)
]


class Check(Settings):
    """How one monitor is used, where it differs from its own default."""

    alert: bool | None = Field(None, description="may open incidents, or is only shown")
    threshold: float | None = Field(
        None, allow_inf_nan=False, description="a fixed limit of the value, instead of calibration"
    )
    weight: float = Field(1.0, gt=0, allow_inf_nan=False, description="share of the budget")


class Objective(Settings):
    """A service level for latency, watched by burn rate over two windows (SRE workbook, ch. 5)."""

    limit: Wait = Field(description="a prediction that takes longer is slow")
    target: float = Field(0.99, gt=0, lt=1, description="share of predictions that are not slow")
    short: Wait = timedelta(minutes=5)
    long: Wait = timedelta(hours=1)
    burn: float = Field(14.4, gt=1, description="times the allowed share of slow ones, in both")


class Latency(Settings):
    """Objectives; without one, percentiles are only shown."""

    inference: Objective | None = None
    end_to_end: Objective | None = None


class Evidently(Settings):
    """One metric or preset of Evidently, on a sample of the window's raw rows."""

    name: str = Field(
        pattern=r"^[A-Za-z]\w*$", description="class in evidently.metrics or evidently.presets"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="its parameters")
    rows: int = Field(5_000, ge=10, le=100_000, description="rows sampled, at most")
    time_limit: Wait = Field(timedelta(minutes=2), description="longer, and it is broken")
    alert: bool = False


class Multivariate(Settings):
    """Drift of columns together, on a bounded sample of raw rows."""

    method: Literal["domain_classifier", "pca_reconstruction"] = "domain_classifier"
    rows: int = Field(2_000, ge=100, le=50_000, description="rows sampled, at most")
    alert: bool = False


class Performance(Settings):
    """How good predictions were, once their labels have come; for models that have `labels`."""

    alert: bool = Field(True, description="a window that is worse may open incidents")
    min_labels: int = Field(
        100, ge=20, le=LABELS, description="a window with fewer labels is not measured"
    )
    coverage: Share = Field(
        0.8, description="judged once so many of its events have a label, or after `within`"
    )
    within: Wait = Field(
        timedelta(days=7), description="labels come so long after their window, at most"
    )
    baseline: Wait = Field(
        timedelta(days=28), description="later windows of a version are compared with its first"
    )

    def looks(self, window: timedelta) -> list[timedelta]:
        """How old a window is when it is measured: at once, and whenever its age has doubled.

        >>> [str(age) for age in Performance().looks(timedelta(days=2))]
        ['0:00:00', '2 days, 0:00:00', '4 days, 0:00:00', '7 days, 0:00:00']
        """
        ages, age = [timedelta(0)], window
        while age < self.within:
            ages.append(age)
            age *= 2
        return [*ages, self.within]


class Hysteresis(Settings):
    """How many windows make an alarm, and its end."""

    fire: int = Field(1, ge=1, le=20, description="so many alarms ...")
    of: int = Field(1, ge=1, le=50, description="... of so many windows in a row")
    resolve: int = Field(2, ge=1, le=50, description="good windows in a row end it")

    @model_validator(mode="after")
    def _fire_of(self) -> Self:
        if self.fire > self.of:
            raise ValueError("fire is at most of")
        return self


class Monitors(Settings):
    """What is watched of one model."""

    false_alarms_per_week: float = Field(
        1.0, gt=0, le=1_000, description="expected false incidents a week, all looks together"
    )
    windows: tuple[ShortWindow, ...] = Field(
        (
            WindowLength(length=timedelta(hours=1)),
            WindowLength(length=timedelta(days=1)),
        ),
        min_length=1,
    )
    lateness: Duration = Field(
        timedelta(minutes=10), description="a window is judged so long after its end"
    )
    clock: Literal["wall", "event"] = Field(
        "wall", description="what ends a window; event: the newest event, for replays"
    )
    matching: Literal["none", "hour_of_day", "day_of_week", "hour_of_week"] = Field(
        "none", description="compare with the reference's windows of the same time"
    )
    block: Wait = Field(
        timedelta(days=7),
        description="left out together when windows of the reference judge each other",
    )
    variation: float = Field(
        0.1,
        ge=0,
        le=10,
        description="day to day, in standard deviations, until the reference shows it",
    )
    burn_in: Wait = Field(
        timedelta(days=14), description="live windows that replace a reference without times"
    )
    columns: tuple[str, ...] | None = Field(None, description="default: all")
    ignore: tuple[str, ...] = Field((), description="columns that are only shown")
    segments: tuple[str, ...] = Field((), description="also judged alone, such as country=de")
    checks: dict[str, Check] = Field(default_factory=dict, description="by monitor")
    latency: Latency = Latency()
    no_traffic: Wait | None = Field(
        None, description="alarm when nothing has arrived for so long; default: never"
    )
    rejected: Share = Field(0.05, description="share of messages that may be rejected")
    evidently: tuple[Evidently, ...] = ()
    multivariate: Multivariate | None = None
    performance: Performance = Performance()
    accept_after: Wait = Field(
        timedelta(days=28),
        ge=timedelta(days=1),
        le=timedelta(days=366),
        description="alarms of volume that go on for so long are what is usual from then on",
    )
    hysteresis: Hysteresis = Hysteresis()
    page: tuple[Family, ...] = Field(
        ("latency", "volume", "performance"), description="families that page; others are tickets"
    )

    @property
    def block_minutes(self) -> int:
        """The blocks of a reference that serve the windows: an hour, or less for shorter windows.

        >>> Monitors(windows=("10 min", "15 min", "1 d")).block_minutes
        5
        """
        lengths = (w.length for w in self.windows if w.length >= _FINEST)
        return math.gcd(60, *(length // timedelta(minutes=1) for length in lengths))

    @field_validator("checks")
    @classmethod
    def _known(cls, checks: dict[str, Check]) -> dict[str, Check]:
        for name, check in checks.items():
            if name not in CHECKED:
                raise ValueError(f"no monitor {name!r}; there are {', '.join(CHECKED)}")
            if name == "slow_drift" and check.threshold is not None:
                raise ValueError(
                    "slow_drift takes no threshold: its limit follows from false_alarms_per_week"
                )
            if name in _OWN_SHARE and check.weight != 1:
                raise ValueError(f"{name} takes no weight: its share of the budget is its own")
        return checks

    @model_validator(mode="after")
    def _each_length_once(self) -> Self:
        lengths = [window.length for window in self.windows]
        if len(set(lengths)) < len(lengths):
            raise ValueError("each length once")
        return self


class Notify(Settings):
    """Where notifications go when no Grafana delivers them; apprise's addresses are secrets."""

    urls: tuple[Secret, ...] = Field((), description="apprise addresses, one a secret")
    per_hour: int = Field(20, ge=1, le=10_000, description="messages an hour, at most; rest waits")
    link: WebLink | None = Field(None, description="address of the preview or of Grafana")


class Runner(Settings):
    """The process that judges windows: `driftline monitor`."""

    poll: Wait = timedelta(seconds=5)
    shards: int = Field(16, ge=1, le=1024, description="parts that the models are dealt into")
    metrics_port: int | None = Field(None, ge=1, le=65535, description="Prometheus, on loopback")
    heartbeat: Secret | None = Field(
        None, description="address of a dead man's switch, asked after each good round"
    )
