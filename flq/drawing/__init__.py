"""Figures for papers: a common style, and functions that write them to files.

``style`` defines the style, ``pictures`` writes PNG and SVG, ``classes`` draws a partition. Matplotlib is imported
inside functions, without pyplot: programs that draw nothing do not need it.
"""
