"""Products and solves: the only package, beside the kernels, that calls BLAS and LAPACK."""
