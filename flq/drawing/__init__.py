"""Figures for papers: a common style, and functions that write them to files.

``style`` is the house style, ``pictures`` makes PNG and SVG, ``classes`` draws a partition. Matplotlib is imported in
functions only, without pyplot: programs that draw nothing need none.
"""
