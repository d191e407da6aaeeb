"""From a budget to a smaller network and its report. Nothing here knows an estimator.

=========================  =======================================================================
:mod:`.budget`             which budget was given
:mod:`.job`                a network and its data: compress, refine, score
:mod:`.coarse_start`       what a refinement of pruned layers starts from
:mod:`.lengths`            how long a refinement is
:mod:`.allocation`         how much each layer may keep
:mod:`.search`             the smallest network within a loss of score
:mod:`.report`             what was saved, by layer and in total
=========================  =======================================================================
"""

from fastbcd.compression.report import CompressionReport as CompressionReport
from fastbcd.compression.report import LayerReport as LayerReport
from fastbcd.compression.report import report as report

__all__ = ["CompressionReport", "LayerReport", "report"]
