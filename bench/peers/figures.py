"""What a peer's script says at its end, all in the same words. Needs nothing but Python: peers have environments of
their own. It is imported where a script is run, not where an engine imports the script as its app."""

from __future__ import annotations

import json


def tell(latencies_ms: list[float], seconds: float, tasks: int) -> None:
    """Prints one JSON document. ``latencies_ms``: of each run; ``tasks``: in each run; ``seconds``: that all took."""
    runs = sorted(latencies_ms)
    figures = {
        "tasks_per_s": round(len(runs) * tasks / seconds, 1),
        "p50_ms": round(runs[len(runs) // 2], 2),
        "p99_ms": round(runs[min(len(runs) - 1, len(runs) * 99 // 100)], 2),
    }
    print(json.dumps(figures))
