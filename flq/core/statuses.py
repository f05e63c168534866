"""The part of a worker in a closed round: the entries of a roll-call."""

UPLOADED, SKIPPED, REFUSED, LATE, LOST = STATUSES = ("uploaded", "skipped", "refused", "late", "lost")
