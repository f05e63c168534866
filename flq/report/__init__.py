"""Views of a run: what the journal holds, as rows and as an Excel workbook.

``rows`` is the vocabulary, ``excel`` writes it. Nothing here reads a file, a clock or the
journal: a view is a function of the rows it is given and can be made again at any time.
"""
