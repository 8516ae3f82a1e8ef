"""All column monitors; docs/architecture.md lists what a new one needs."""

from driftline.monitors.columns.chi_squared import ChiSquared
from driftline.monitors.columns.constant import Constant
from driftline.monitors.columns.hellinger import Hellinger
from driftline.monitors.columns.jensen_shannon import JensenShannon
from driftline.monitors.columns.kolmogorov_smirnov import KolmogorovSmirnov
from driftline.monitors.columns.largest_category import LargestCategory
from driftline.monitors.columns.location import Location
from driftline.monitors.columns.missing import Missing
from driftline.monitors.columns.monitor import Monitor
from driftline.monitors.columns.new_value import NewValue
from driftline.monitors.columns.omnibus import Omnibus
from driftline.monitors.columns.psi import Psi
from driftline.monitors.columns.total_variation import TotalVariation
from driftline.monitors.columns.unexpected import Unexpected
from driftline.monitors.columns.wasserstein import Wasserstein

MONITORS: dict[str, Monitor] = {
    monitor.name: monitor
    for monitor in (
        Omnibus(),
        Location(),
        LargestCategory(),
        Missing(),
        Unexpected(),
        NewValue(),
        Constant(),
        JensenShannon(),
        Psi(),
        Wasserstein(),
        KolmogorovSmirnov(),
        Hellinger(),
        TotalVariation(),
        ChiSquared(),
    )
}
