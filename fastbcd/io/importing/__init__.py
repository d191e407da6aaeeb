"""Networks trained elsewhere, read by what they compute.

==================  ==============================================================================
:mod:`.source`      what was read: a network and what its outputs mean
:mod:`.sklearn`     scikit-learn's multilayer perceptrons
:mod:`.modules`     the modules of a PyTorch network as they are applied, and how to run them
:mod:`.task`        what the outputs of a PyTorch network mean, and targets in that form
:mod:`.agreement`   the imported network against the model itself, on rows
:mod:`.wrappers`    Pipelines and searches: the network inside
==================  ==============================================================================
"""
