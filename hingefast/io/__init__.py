"""Readers: files into X, as an array or rows of a sparse matrix, and y."""
