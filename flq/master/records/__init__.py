"""What a run leaves for people: rounds, totals, devices, bytes on the wire, result files."""
