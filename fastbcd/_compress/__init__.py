"""What :func:`fastbcd.compression.compress` does, from budget to fitted estimator.

==================  ==============================================================================
:mod:`.budget`      which budget was given
:mod:`.job`         a network and its data: compress, refine, score, write the estimator
:mod:`.denser`      what a refinement of pruned layers starts from
:mod:`.epochs`      how long a refinement is
:mod:`.shares`      one sparsity for all layers together, shared by their error curves
:mod:`.sizes`       the best network within so many bytes
:mod:`.search`      the smallest network within a loss of score
==================  ==============================================================================
"""

from fastbcd._compress.run import run as run

__all__ = ["run"]
