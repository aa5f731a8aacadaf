"""Readers: files into blocks of (X, y)."""
