"""Networks trained elsewhere, read by what they compute.

=====================  ===========================================================================
:mod:`.read`           a model of any kind that is known
:mod:`.source`         what was read: a network and what its outputs mean
:mod:`.sklearn`        scikit-learn's multilayer perceptrons
:mod:`.torch`          PyTorch networks, module by module
:mod:`.torch_images`   convolutions and poolings
:mod:`.modules`        the modules of a PyTorch network as they are applied, and how to run them
:mod:`.layout`         where PyTorch keeps each number of a row
:mod:`.task`           what the outputs of a PyTorch network mean
:mod:`.targets`        targets in the shapes in which people hold them
:mod:`.agreement`      the imported network against the model itself, on rows
:mod:`.wrappers`       Pipelines and searches: the network inside
=====================  ===========================================================================
"""
