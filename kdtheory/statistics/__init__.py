"""Statistics of rows: run groups, averages over seeds, paired differences, findings.

What is shown, and how, is `kdtheory.report`'s.
"""
