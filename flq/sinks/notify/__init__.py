"""Notifications about a run, to phones and chat rooms.

``policy`` decides which are due and what they say, ``sender`` sends them, ``picture`` draws what goes with them; the
process is ``python -m flq.sinks.notify``. Where they go is a secret (``secrets``).
"""
