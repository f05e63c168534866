"""Sinks: processes beside a run, which cannot stop or slow down a round.

The master writes one line of JSON for each thing that happens (``messages``) to the standard input of its sinks;
what they make of it is their own business, and nothing of it comes back.
"""
