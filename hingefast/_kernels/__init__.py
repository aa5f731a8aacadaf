"""Compiled kernels; private. ``CONTRIBUTING.md`` shows the way of the data through them."""
