"""The kinds of Grafana objects, in the order of their dependencies."""

from driftline.dashboards.sync.kinds.contact_point import ContactPoint
from driftline.dashboards.sync.kinds.dashboard import Dashboard
from driftline.dashboards.sync.kinds.data_source import DataSource
from driftline.dashboards.sync.kinds.folder import Folder
from driftline.dashboards.sync.kinds.kind import DesiredObject, Kind, Payload
from driftline.dashboards.sync.kinds.mute_timing import MuteTiming
from driftline.dashboards.sync.kinds.policy import Policy
from driftline.dashboards.sync.kinds.rule import Rule
from driftline.dashboards.sync.kinds.rule_group import RuleGroup

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

__all__ = ["KINDS", "DesiredObject", "Kind", "Payload"]
