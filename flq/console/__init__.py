"""Terminal output: a progress bar at the bottom, other lines above it.

Programs say how far they are in lines of key=value. Where there is no terminal these lines are all there is; at a
terminal ``progress`` reads them and makes a bar of those that tell of progress, ``screen`` draws it, and ``__main__``
copies the lines of another program into a file and shows them so.
"""

# logger.info(..., extra=FOR_A_BAR): a step too small for a log file and for plain lines, or one that may end in a
# refusal, which is one sentence there.
FOR_A_BAR = {"is_for_a_bar": True}
