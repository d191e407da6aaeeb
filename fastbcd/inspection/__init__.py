"""What trained weights say, and bounds that hold for every input.

=====================  ===========================================================================
:mod:`.certificates`   how fast, and how far from another network, outputs can ever change
=====================  ===========================================================================
"""
