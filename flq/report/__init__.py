"""Reports of a run: rows, Excel workbooks, figures and comparisons.

``rows`` defines the rows and columns. ``sheets`` and ``charts`` write Excel and know nothing of runs. ``excel`` writes
the workbook of a run with ``headline`` (the first lines), ``totals`` (formulas), ``marks`` (colours), ``roll_call``,
``read_me`` and ``config_sheet``; ``reference`` writes that of the original program. None of these modules reads a file
or a clock: a workbook is a function of its rows, and can be written again at any time.

``stored`` reads workbooks back, and ``compare`` compares several:

    python -m flq.report compare results/a.xlsx results/b.xlsx --accuracy 0.9
"""
