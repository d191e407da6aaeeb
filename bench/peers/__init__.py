"""Peers: other ways to train or compress the same networks, to compare with.

A *peer* is a plain implementation of somebody else's method, written only to be measured
against. It favours being recognisable over being fast: each step is one published formula,
with the settings and the numerical choices of its authors.

`peers.published_nnbcd`
    Block coordinate descent with tensor-train or pruned weights, as published
    (arXiv:2303.06815). Samples are columns, as in the paper.
`peers.published_cnn`
    The same with a convolution before the dense layers.
`peers.adam`
    Multi-layer perceptrons trained by Adam, and magnitude pruning with masked fine-tuning.
    Samples are rows, as in scikit-learn.
`peers.adam_cnn`
    A network with a convolution: Adam, then tensor trains, then Adam again.
`peers.oneshot`, `peers.exact_obs`
    Pruning of trained layers without labels: Wanda, SparseGPT, ADMM-Grad, ALPS, ExactOBS.
`peers.low_rank`, `peers.codebook`
    Low-rank factors (SVD, ASVD, SVD-LLM) and few numbers (k-means, GPTQ) of trained layers.
`peers.sequential`
    The layer-wise methods above on a whole network.
`peers.finetune`
    Compressed networks trained on by Adam, gradual magnitude pruning, and the
    learning-compression algorithm.

None of this is part of the package: nothing in ``fastbcd`` imports it, it is not installed
with it, and it may change at any time. What trains needs PyTorch
(``pip install "fastbcd[torch]"``); `peers.published_nnbcd` also needs TensorLy
(``pip install tensorly``). Importing `peers` itself loads neither. To compare times, give every
contestant the same number of threads, for instance with ``OMP_NUM_THREADS=1``.
"""
