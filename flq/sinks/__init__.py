"""Sinks: processes that follow a run, but cannot stop it or slow it down.

The master writes one line of JSON per event (``messages``) to the standard input of each sink. Sinks send nothing back.
"""
