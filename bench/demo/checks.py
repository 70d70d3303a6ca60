"""The judge: what the results must be, computed directly, without the engine."""

from __future__ import annotations

import multiprocessing
import random
import sysconfig
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import census as census_app
from service import FlakyService, answer_for

REVIEW_ABOVE_CENTS = 100_000


def make_orders(count: int, seed: int = 20) -> list[dict[str, object]]:
    dice = random.Random(seed)
    return [
        {
            "id": f"order-{number:04}",
            "items": [
                {
                    "sku": f"sku-{dice.randrange(1000)}",
                    "quantity": dice.randint(1, 15),
                    "price_cents": dice.randint(50, 9_000),
                }
                for _ in range(dice.randint(1, 5))
            ],
        }
        for number in range(count)
    ]


def expected_order(order: dict[str, object]) -> dict[str, object]:
    """The result of one order. Written anew on purpose: not by calling the workflow's tasks."""
    total = 0
    for item in order["items"]:  # type: ignore[attr-defined]
        cents = item["quantity"] * item["price_cents"]
        total += cents - -(-cents * 5 // 100) if item["quantity"] >= 10 else cents
    reviewed = (
        f"{order['id']} checked by hand at {total / 100:.2f}" if total > REVIEW_ABOVE_CENTS else "nothing to look at"
    )
    return {
        "order": order["id"],
        "reservation": answer_for("/reserve", str(order["id"])),
        "total_cents": total,
        "review": reviewed,
        "receipt": answer_for("/charge", str(order["id"])),
    }


def check_orders(orders: list[dict[str, object]], results: list[dict[str, object]], service: FlakyService) -> list[str]:
    """What is wrong with the results, and with what the service was asked to do: nothing, it is to be hoped."""
    wrong = []
    for order, result in zip(orders, results, strict=True):
        expected = expected_order(order)
        if result != expected:
            wrong.append(f"{order['id']}: {result} instead of {expected}")
        for path in ("/reserve", "/charge"):
            bodies = service.ledger.get((path, str(order["id"])), [])
            if len(bodies) != 1:
                wrong.append(f"{order['id']}: {path} took effect {len(bodies)} times")
            elif path == "/charge" and bodies[0]["cents"] != expected["total_cents"]:
                wrong.append(f"{order['id']}: charged {bodies[0]['cents']} instead of {expected['total_cents']}")
    return wrong


def check_census(result: census_app.Census) -> list[str]:
    """The census again: the tasks are plain functions here, in two processes, with no engine between them."""
    modules = census_app.list_modules(sysconfig.get_path("stdlib"))
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        counts = list(pool.map(census_app.count_module, modules, chunksize=16))
    packages = census_app.per_package(counts)
    total = census_app.overall(packages)
    verdict = census_app.praise(total) if total.documented_percent >= 50 else census_app.plead(total)
    wrong = []
    if len(modules) < 100:
        wrong.append(f"only {len(modules)} modules were found: is this Python complete?")
    if result.total != total:
        wrong.append(f"census: {result.total} instead of {total}")
    if result.packages != packages:
        wrong.append(f"census: {sum(a != b for a, b in zip(result.packages, packages, strict=False))} packages differ")
    if result.verdict != verdict:
        wrong.append(f"census: the verdict {result.verdict!r} instead of {verdict!r}")
    if Path(result.report).read_text(encoding="utf-8") != census_app.render(packages, total, verdict):
        wrong.append("census: the report differs")
    return wrong
