"""Matrix products and linear solves through BLAS and LAPACK."""
