"""Reads the state of this machine from /sys and /proc; a missing value is None, never zero."""
