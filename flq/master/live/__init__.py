"""The live page and its data: status, history, news, the event stream."""
