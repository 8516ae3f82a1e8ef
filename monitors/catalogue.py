"""All column monitors. To add one: its file, its line here, its test."""

from monitors.columns.chi_squared import ChiSquared
from monitors.columns.constant import Constant
from monitors.columns.hellinger import Hellinger
from monitors.columns.jensen_shannon import JensenShannon
from monitors.columns.kolmogorov_smirnov import KolmogorovSmirnov
from monitors.columns.largest_category import LargestCategory
from monitors.columns.location import Location
from monitors.columns.missing import Missing
from monitors.columns.monitor import Monitor
from monitors.columns.new_value import NewValue
from monitors.columns.omnibus import Omnibus
from monitors.columns.psi import Psi
from monitors.columns.total_variation import TotalVariation
from monitors.columns.unexpected import Unexpected
from monitors.columns.wasserstein import Wasserstein

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
