"""What a Grafana of version 12 does otherwise than one of version 11, refusals aside."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Traits:
    """Of one version.

    Attributes:
        untraced: errors other than 401 have no `traceID`.
        org: of a folder; 11 leaves it 0.
        whole_parents: the parents of a folder say their versions.
        names_org: rows of a search say the organisation and whether they are deleted, and have
            the address of the folder; what is deleted is named by its uid.
        unique_titles: a folder has one dashboard of a title: another one replaces it.
        counts_saves: a save without any change answers with the version that it counts up.
        page_api: `meta.apiVersion` of a dashboard.
        set_secrets_only: the secrets that are shown, redacted or as `true`, are those that are set.
        empty_list: no contact point of a name is `[]`, not null.
        timing_versions: mute timings have a version, are listed by name, and answer to the name
            in the body.
        rule_fields: rules have `keep_firing_for`, `missingSeriesEvalsToResolve` and `record`.
        null_fires: a threshold is above its limit where the value is NULL.
        keeps_order: a group has its rules in the order in which they were put.
        account_uids: service accounts have a uid.
        permissions: the text of a 403, by the text in 11.
    """

    untraced: bool
    org: int
    whole_parents: bool
    names_org: bool
    unique_titles: bool
    counts_saves: bool
    page_api: str
    set_secrets_only: bool
    empty_list: bool
    timing_versions: bool
    rule_fields: bool
    null_fires: bool
    keeps_order: bool
    account_uids: bool
    permissions: dict[str, str]


_11 = Traits(
    untraced=False,
    org=0,
    whole_parents=False,
    names_org=False,
    unique_titles=True,
    counts_saves=True,
    page_api="",
    set_secrets_only=False,
    empty_list=False,
    timing_versions=False,
    rule_fields=False,
    null_fires=True,
    keeps_order=False,
    account_uids=False,
    permissions={},
)
_SILENCES = "any of alert.instances:create, alert.instances:write"
_12 = Traits(
    untraced=True,
    org=1,
    whole_parents=True,
    names_org=True,
    unique_titles=False,
    counts_saves=False,
    page_api="v0alpha1",
    set_secrets_only=True,
    empty_list=True,
    timing_versions=True,
    rule_fields=True,
    null_fires=False,
    keeps_order=True,
    account_uids=True,
    permissions={
        _SILENCES: "all of any of alert.instances:read, alert.silences:read, "
        f"{_SILENCES}, alert.silences:create, alert.silences:write"
    },
)


def is_12(version: str) -> bool:
    """Whether it is 12 or later."""
    return int(version.partition(".")[0]) >= 12


def traits(version: str) -> Traits:
    """Of a version such as `12.2.0`."""
    return _12 if is_12(version) else _11
