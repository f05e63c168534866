"""The records of a run for people: rounds, totals, devices, bytes on the wire, result files."""
