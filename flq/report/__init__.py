"""Views of a run: what the master has recorded, as rows and as Excel workbooks.

``rows`` is the vocabulary; ``sheets`` and ``charts`` know Excel and nothing of runs; ``excel``
writes the workbook of a run, from ``totals`` (formulas), ``marks`` (colours), ``roll_call`` and
``read_me``; ``reference`` writes the original program's. Nothing of these reads a file
or a clock: a view is a function of the rows it is given and can be made again at any time.

``stored`` reads workbooks back and ``compare`` puts several side by side:

    python -m flq.report compare results/a.xlsx results/b.xlsx --accuracy 0.9
"""
