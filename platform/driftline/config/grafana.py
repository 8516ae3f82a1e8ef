"""The section `grafana` of `driftline.yaml`: server, contact points and routing."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from driftline import names
from driftline.config.masking import is_secret_setting
from driftline.config.monitors import Family, Severity
from driftline.config.types import Located, ModelName, Secret, Settings, Wait, checked_address

ContactType = Literal[
    "webhook",
    "email",
    "slack",
    "pagerduty",
    "teams",
    "opsgenie",
    "discord",
    "telegram",
    "googlechat",
    "victorops",
    "pushover",
]
# Settings that Grafana keeps secret, by type: it shows them as [REDACTED].
SECRET_SETTINGS: dict[str, tuple[str, ...]] = {
    "webhook": ("authorization_credentials", "password"),
    "email": (),
    "slack": ("token", "url"),
    "pagerduty": ("integrationKey",),
    "teams": (),
    "opsgenie": ("apiKey",),
    "discord": ("url",),
    "telegram": ("bottoken",),
    "googlechat": ("url",),
    "victorops": ("url",),
    "pushover": ("apiToken", "userKey"),
}
# Grafana refuses a contact point without them; of several in one entry, one is enough.
_REQUIRED: dict[str, tuple[tuple[str, ...], ...]] = {
    "webhook": (("url",),),
    "email": (("addresses",),),
    "slack": (("token", "url"),),
    "pagerduty": (("integrationKey",),),
    "teams": (("url",),),
    "opsgenie": (("apiKey",),),
    "discord": (("url",),),
    "telegram": (("bottoken",), ("chatid",)),
    "googlechat": (("url",),),
    "victorops": (("url",),),
    "pushover": (("apiToken",), ("userKey",)),
}
_SCHEDULER = timedelta(seconds=10)


def _of_the_scheduler(duration: timedelta) -> timedelta:
    if duration % _SCHEDULER:
        raise ValueError("must be a multiple of 10 s, the tick of Grafana's scheduler")
    return duration


Interval = Annotated[Wait, AfterValidator(_of_the_scheduler)]
ObjectName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,29}$")]
Address = Annotated[
    str,
    Field(pattern=r"^https?://[^@\s?#]+$"),
    AfterValidator(checked_address),
    AfterValidator(lambda text: text.rstrip("/")),
]


class DataSource(Settings):
    """How Grafana reaches the database; defaults are taken from the section `postgres`."""

    uid: str = Field(names.DATASOURCE_UID, pattern=r"^[A-Za-z0-9_-]{1,40}$")
    name: str = "driftline"
    manage: bool = Field(
        True, description="create and update it (needs role Admin); false: it already exists"
    )
    host: str | None = Field(None, description="host name, as seen from Grafana's machine")
    port: int | None = Field(None, ge=1, le=65535)
    database: str | None = None
    user: str | None = Field(None, description="a read-only role")
    password: Secret | None = None
    sslmode: Literal["disable", "require", "verify-ca", "verify-full"] | None = None
    ca_file: Located | None = Field(
        None, description="PEM file of the database's certificate authorities"
    )
    connections: int = Field(
        10, ge=1, le=1_000, description="maximum connections that Grafana opens"
    )


class ContactPoint(Settings):
    """Where Grafana sends alerts; the keys of `settings` are Grafana's own for the type."""

    type: ContactType
    settings: dict[str, Secret | bool | int | str] = Field(min_length=1)
    send_resolved: bool = Field(True, description="also notify when an alert resolves")

    @model_validator(mode="after")
    def _secrets_are_referenced(self) -> Self:
        for name, value in self.settings.items():
            secret = name in SECRET_SETTINGS[self.type] or is_secret_setting(name)
            if secret and not isinstance(value, Secret):
                raise ValueError(
                    f"setting {name!r} is a secret: give {{env: NAME}} or {{file: PATH}}"
                )
        for any_of in _REQUIRED[self.type]:
            if not any(name in self.settings for name in any_of):
                raise ValueError(f"type {self.type!r} needs the setting {' or '.join(any_of)}")
        return self


class Times(Settings):
    """Part of a day."""

    start: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["22:00"])
    end: str = Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$", examples=["24:00"])

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.start >= self.end:
            raise ValueError("start must be earlier than end: split a range over midnight in two")
        return self


class MuteInterval(Settings):
    """When notifications are muted: all given conditions must hold."""

    times: tuple[Times, ...] = ()
    weekdays: tuple[str, ...] = Field((), description="such as saturday or monday:friday")
    days_of_month: tuple[str, ...] = Field((), description="such as 1:7, or -1 for the last")
    months: tuple[str, ...] = Field((), description="such as 1:3 or december")
    location: str | None = Field(None, description="time zone, such as Europe/Berlin")

    @model_validator(mode="after")
    def _words_that_grafana_knows(self) -> Self:
        day = "(sun|mon|tues|wednes|thurs|fri|satur)day"
        for value in self.weekdays:
            if not re.fullmatch(f"{day}(:{day})?", value):
                raise ValueError(f"weekday {value!r} must be a day or range such as monday:friday")
        for value in self.days_of_month:
            if not all(1 <= abs(int(n)) <= 31 for n in re.findall(r"-?\d+", value) or ["0"]):
                raise ValueError(f"day of month {value!r} must be 1 to 31, or -1 to -31")
        if not any((self.times, self.weekdays, self.days_of_month, self.months)):
            raise ValueError("give at least one of times, weekdays, days_of_month, months")
        return self


class Route(Settings):
    """Which alerts go to a contact point; a criterion that is not given matches all."""

    contact_point: ObjectName
    teams: tuple[ModelName, ...] = ()
    families: tuple[Family, ...] = ()
    severities: tuple[Severity, ...] = ()
    mute_timings: tuple[ObjectName, ...] = ()
    group_wait: Wait = timedelta(seconds=30)
    group_interval: Wait = timedelta(minutes=5)
    repeat_interval: Wait = timedelta(hours=4)

    def matches(self, team: str | None, family: str, severity: str) -> bool:
        """Whether the route matches an alert; the heartbeat alert has no team."""
        return (
            (not self.teams or team in self.teams)
            and (not self.families or family in self.families)
            and (not self.severities or severity in self.severities)
        )


class Routing(Settings):
    """Routes from alert rules to contact points; the first that matches is used."""

    mode: Literal["notification_settings", "policies"] = Field(
        "notification_settings",
        description="each rule names its contact point; or routes are merged into the policy tree",
    )
    routes: tuple[Route, ...] = ()


class Grafana(Settings):
    """The server that dashboards and alert rules are pushed to."""

    url: Address | None = Field(None, description="http(s)://host:port; default: no Grafana")
    public_url: Address | None = Field(None, description="URL for people's browsers; default: url")
    preview_url: Address = Field(
        f"http://127.0.0.1:{names.PREVIEW_PORT}",
        description="URL of the preview, for links to reports",
    )
    token: Secret | None = Field(None, description="service account token")
    org: int = Field(1, ge=1, description="the token's organisation")
    folder: str = Field(
        "driftline",
        pattern=r"^[^\x00-\x1f]+$",
        description="title of the folder, and prefix of team folders",
    )
    data_source: DataSource = DataSource()
    provenance: Literal["editable", "locked"] = Field(
        "editable", description="whether people may edit alerting objects in Grafana"
    )
    contact_points: dict[ObjectName, ContactPoint] = Field(default_factory=dict)
    mute_timings: dict[ObjectName, tuple[MuteInterval, ...]] = Field(default_factory=dict)
    routing: Routing = Routing()
    interval: Interval = Field(timedelta(minutes=1), description="how often rules are evaluated")
    heartbeat_timeout: Wait = Field(
        timedelta(minutes=5), description="silence after which a runner counts as dead"
    )
    secret_key: Secret | None = Field(
        None, description="key for digests of secrets; default: the password of role write"
    )
    timeout: Wait = Field(timedelta(seconds=30), description="time limit of a request")
    retry_for: Wait = Field(timedelta(minutes=1), description="how long to retry a busy server")
    concurrency: int = Field(4, ge=1, le=32, description="maximum concurrent requests")
    ca_file: Located | None = Field(None, description="PEM file of trusted certificate authorities")

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Self:
        for route in self.routing.routes:
            _require("contact point", route.contact_point, self.contact_points)
            for name in route.mute_timings:
                _require("mute timing", name, self.mute_timings)
        return self

    @model_validator(mode="after")
    def _with_a_token(self) -> Self:
        if self.url is not None and self.token is None:
            raise ValueError("url needs token: give a service account's token as {env: NAME}")
        return self


def _require(kind: str, name: str, existing: dict[str, Any]) -> None:
    if name not in existing:
        raise ValueError(f"no {kind} {name!r} (defined: {', '.join(existing) or 'none'})")
