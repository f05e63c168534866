"""Views of a run: what the master has recorded, as rows and as an Excel workbook.

``rows`` is the vocabulary, ``excel`` writes it. Nothing here reads a file or a clock: a view
is a function of the rows it is given and can be made again at any time.
"""
