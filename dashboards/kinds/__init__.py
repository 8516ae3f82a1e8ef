"""The kinds of Grafana's objects, in the order in which they need one another."""

from driftline.dashboards.kinds.contact_point import ContactPoint
from driftline.dashboards.kinds.dashboard import Dashboard
from driftline.dashboards.kinds.data_source import DataSource
from driftline.dashboards.kinds.folder import Folder
from driftline.dashboards.kinds.kind import Kind, Sent, Wanted
from driftline.dashboards.kinds.mute_timing import MuteTiming
from driftline.dashboards.kinds.policy import Policy
from driftline.dashboards.kinds.rule import Rule
from driftline.dashboards.kinds.rule_group import RuleGroup

KINDS: tuple[Kind, ...] = (
    Folder(),
    DataSource(),
    MuteTiming(),
    ContactPoint(),
    Dashboard(),
    Rule(),
    RuleGroup(),
    Policy(),
)

__all__ = ["KINDS", "Kind", "Sent", "Wanted"]
