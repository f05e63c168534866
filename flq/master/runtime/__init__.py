"""The running master: the event loop that owns the machine, the run around it, its child processes."""
