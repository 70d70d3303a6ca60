"""Planted bugs of worker pools: labels that are overlooked, resources that are given away twice or never again."""

from __future__ import annotations

from typing import Any

from planting import around, nothing

from wfe.shard import pools
from wfe.worker.ration import Ration


def _no_label_missing(missing_labels: Any, *arguments: Any) -> list[str]:
    return []


def _free_while_held(take: Any, ration: Ration, key: Any, needs: Any) -> None:
    ration.held[key] = needs


def _both_of_a_frame(used: Any, ration: Ration, shard: int, needs: Any, count: int) -> None:
    used(ration, shard, needs, 2 * count)


def pool_patches() -> dict[str, Any]:
    return {
        "labels are overlooked": around(pools, "missing_labels", _no_label_missing),
        "resources are free while they are used": around(Ration, "take", _free_while_held),
        "a task settles the grant of another": around(Ration, "used", _both_of_a_frame),
        "what has ended keeps its resources": around(Ration, "ended", nothing),
    }
