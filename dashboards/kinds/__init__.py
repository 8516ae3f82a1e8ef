"""The kinds of Grafana's objects, in the order in which they need one another."""

from dashboards.kinds.contact_point import ContactPoint
from dashboards.kinds.dashboard import Dashboard
from dashboards.kinds.data_source import DataSource
from dashboards.kinds.folder import Folder
from dashboards.kinds.kind import Kind, Sent, Wanted
from dashboards.kinds.mute_timing import MuteTiming
from dashboards.kinds.policy import Policy
from dashboards.kinds.rule import Rule
from dashboards.kinds.rule_group import RuleGroup

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
