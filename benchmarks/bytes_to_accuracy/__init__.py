"""Measures the bytes to a given accuracy of every mode and its rivals on the same data; see ``__main__``."""
