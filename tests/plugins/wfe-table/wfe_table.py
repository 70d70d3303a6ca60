# file: wfe_table.py
"""A node type for wfe: ``table.append`` appends a row to a CSV file."""

import csv
from pathlib import Path

import wfe


@wfe.task(retry=wfe.Retry(max_attempts=3, initial_delay="100ms"), timeout="10s")
def append(file: str, row: list[str]) -> int:
    """Gives the number of the row. A task may run twice: the key in the last column tells whether it did."""
    key = wfe.context().key
    path = Path(file)
    with path.open("a+", newline="") as table:
        table.seek(0)
        rows = list(csv.reader(table))
        for number, known in enumerate(rows, 1):
            if known[-1:] == [key]:
                return number
        csv.writer(table).writerow([*row, key])
    return len(rows) + 1
