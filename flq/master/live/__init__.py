"""The live page and what it shows: status, history, news, the stream of events."""
