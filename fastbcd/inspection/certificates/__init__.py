"""Bounds of what a network can do that hold for every input of a region.

==========================  ======================================================================
:mod:`.regions`             boxes, balls and moments of inputs
:mod:`.stage`               one matrix and its activations
:mod:`.stages`              a network as a chain of these
:mod:`.maxima`              max pooling as stages
:mod:`.slopes`              slopes of activations between two bounds of their arguments
:mod:`.relaxation`          bounds of all pre-activations over a region
:mod:`.constraints`         incremental quadratic constraints and their exact Schur form
:mod:`.verified`            positive definiteness, proven in floating-point arithmetic
:mod:`.lipschitz`           Lipschitz constants and their relatives
:mod:`.pattern`             lower bounds by activation patterns
:mod:`.pairs`               differences of units that are nearly equal
:mod:`.difference`          two networks compared
:mod:`.robust`              how far each row is from another class
==========================  ======================================================================
"""
