"""Bounds of what a network can do that hold for every input of a region.

==========================  ======================================================================
:mod:`.regions`             boxes, balls and moments of inputs
:mod:`.stages`              a network as matrices and slopes
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
