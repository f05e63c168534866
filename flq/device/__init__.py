"""The machine and its state, read from /sys and /proc; a missing value is None, never zero."""
