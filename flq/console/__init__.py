"""Terminal output: a progress bar at the bottom, other lines above it.

Programs report progress in lines of key=value. Without a terminal, these lines are printed as they are. At a terminal,
``progress`` computes a bar from them and ``screen`` draws it; ``__main__`` does this for the output of another program,
and copies it to a file.
"""

# logger.info(..., extra=FOR_A_BAR): shown at a terminal only, because the step is too small for a log, or may fail with
# an error message that should be the only line.
FOR_A_BAR = {"is_for_a_bar": True}
