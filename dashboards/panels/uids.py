"""Stable UIDs and names in Grafana, shared by the generated dashboards and the alert rules."""

import hashlib
from datetime import timedelta

from driftline.config.monitors import Family, Severity

LONGEST = 40  # Grafana rejects longer UIDs
FLEET_FOLDER = "driftline"
RULE_GROUP = "driftline"
RULES = "driftline-.+"  # regex that matches the UID of every alert rule


def uid(*parts: str) -> str:
    """Join parts to a UID; one that would be too long ends in a digest instead.

    >>> uid("driftline", "payments")
    'driftline-payments'
    >>> len(uid("driftline", "x" * 60))
    40
    """
    full = "-".join(parts)
    if len(full) <= LONGEST:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:8]
    return f"{full[: LONGEST - 9]}-{digest}"


def team_tag(team: str) -> str:
    """The tag that puts a dashboard into a team's folder instead of the shared one.

    >>> team_tag("payments")
    'team:payments'
    """
    return f"team:{team}"


def folder_uid(team: str | None) -> str:
    """UID of a team's folder; None: of the shared folder."""
    return FLEET_FOLDER if team is None else uid("driftline-team", team)


def rule_uid(team: str, family: Family, severity: Severity) -> str:
    """UID of a team's alert rule."""
    return uid("driftline", family, severity, team)


def rule_title(family: str, severity: str) -> str:
    """The name of the alert, which notification policies match.

    >>> rule_title("drift", "page")
    'driftline drift (page)'
    """
    return f"driftline {family} ({severity})"


def grafana_duration(duration: timedelta) -> str:
    """A duration as Grafana returns it, so that it equals what was sent.

    >>> [grafana_duration(timedelta(seconds=seconds)) for seconds in (90, 86_400, 0)]
    ['1m30s', '1d', '0s']
    """
    remaining = round(duration.total_seconds() * 1000)
    if not remaining:
        return "0s"
    parts = []
    exact = {"w": 604_800_000, "d": 86_400_000}
    for unit, size in {**exact, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}.items():
        if unit in exact and remaining % size:
            continue
        count, remaining = divmod(remaining, size)
        parts += [f"{count}{unit}"] * bool(count)
    return "".join(parts)
