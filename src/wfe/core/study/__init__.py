"""What can be said about a definition without running it, and about its runs without touching them. Pure.

`arcs` draws the tree of blocks as one flat graph of control; `shape` computes with such a graph (levels, circles,
paths, the critical path); `processed` puts it all together; `differences` compares two versions; `carry` says whether a
version could take over a run of another one; `durations` reads recorded times out of histories.
"""

from wfe.core.study.differences import Difference, Differences, differences
from wfe.core.study.durations import NodeTimes, times_of_run, times_of_runs
from wfe.core.study.processed import ProcessedGraph, processed_graph

__all__ = [
    "Difference",
    "Differences",
    "NodeTimes",
    "ProcessedGraph",
    "differences",
    "processed_graph",
    "times_of_run",
    "times_of_runs",
]
