"""What this machine is and how it is doing: read from /sys and /proc, where absent is None and never zero."""
