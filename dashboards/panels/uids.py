"""Stable names in Grafana, which both the generated dashboards and the alert rules refer to."""

import hashlib
from datetime import timedelta

from driftline.config.monitors import Family, Severity

LONGEST = 40  # Grafana refuses longer uids
FLEET_FOLDER = "driftline"
RULE_GROUP = "driftline"
RULES = "driftline-.+"  # matches the uid of every alert rule


def uid(*parts: str) -> str:
    """Parts joined to a uid; what would be too long ends in a digest instead.

    >>> uid("driftline", "payments")
    'driftline-payments'
    >>> len(uid("driftline", "x" * 60))
    40
    """
    whole = "-".join(parts)
    if len(whole) <= LONGEST:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: LONGEST - 9]}-{digest}"


def team_tag(team: str) -> str:
    """The tag that puts a dashboard into a team's folder; without it, it is the fleet's.

    >>> team_tag("payments")
    'team:payments'
    """
    return f"team:{team}"


def folder_uid(team: str | None) -> str:
    """The folder of a team, or of what concerns all."""
    return FLEET_FOLDER if team is None else uid("driftline-team", team)


def rule_uid(team: str, family: Family, severity: Severity) -> str:
    """One rule of a team."""
    return uid("driftline", family, severity, team)


def rule_title(family: str, severity: str) -> str:
    """The alert's name, which policies match.

    >>> rule_title("drift", "page")
    'driftline drift (page)'
    """
    return f"driftline {family} ({severity})"


def written(duration: timedelta) -> str:
    """A duration as Grafana writes it back, so that it reads as it was sent.

    >>> written(timedelta(seconds=90)), written(timedelta(days=1)), written(timedelta(0))
    ('1m30s', '1d', '0s')
    """
    rest = round(duration.total_seconds() * 1000)
    if not rest:
        return "0s"
    parts = []
    exact = {"w": 604_800_000, "d": 86_400_000}
    for unit, size in {**exact, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}.items():
        if unit in exact and rest % size:
            continue
        count, rest = divmod(rest, size)
        parts += [f"{count}{unit}"] * bool(count)
    return "".join(parts)
