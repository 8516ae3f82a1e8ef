"""All column monitors. To add one: its file, its line here, its test."""

from monitors.chi_squared import ChiSquared
from monitors.constant import Constant
from monitors.hellinger import Hellinger
from monitors.jensen_shannon import JensenShannon
from monitors.kolmogorov_smirnov import KolmogorovSmirnov
from monitors.largest_category import LargestCategory
from monitors.location import Location
from monitors.missing import Missing
from monitors.monitor import Monitor
from monitors.omnibus import Omnibus
from monitors.psi import Psi
from monitors.total_variation import TotalVariation
from monitors.unexpected import Unexpected
from monitors.wasserstein import Wasserstein

MONITORS: dict[str, Monitor] = {
    monitor.name: monitor
    for monitor in (
        Omnibus(),
        Location(),
        LargestCategory(),
        Missing(),
        Unexpected(),
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
