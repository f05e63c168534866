"""Figures for papers: one style, and how they become files. Who draws with it knows what is drawn; nothing here does.

``style`` is the house style, ``pictures`` makes PNG and SVG, ``classes`` draws a partition. Matplotlib is imported in
functions only, without pyplot: programs that draw nothing need none.
"""
