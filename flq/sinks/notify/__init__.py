"""Notifications about a run, for phones and chat rooms.

``policy`` decides which notifications are due and writes their text, ``sender`` sends them, ``picture`` draws the
attached figure; ``python -m flq.sinks.notify`` is the process. Their addresses are secret (``secrets``).
"""
