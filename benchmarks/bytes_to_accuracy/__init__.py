"""Bytes to a given accuracy: every mode and its rivals on the same data, resumable; see ``__main__``."""
