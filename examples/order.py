"""An order: a person approves large ones, packing takes its time, what was done is undone when a later step fails.

wfe dev examples/order.py    # open the printed address, start a run, kill a worker while it packs, rewind, fork
wfe run examples/order.py:buy -i '{"id": "o-1", "total": 80, "stock": 1}'
wfe run examples/order.py:buy -i '{"id": "o-2", "total": 80, "stock": 0}'    # fails, and refunds
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import wfe


@dataclass
class Order:
    id: str
    total: float
    stock: int
    packing_s: float = 2.0


class OutOfStock(Exception):
    """Nothing is left to send."""


@wfe.task
def charge(order: Order) -> str:
    return f"charge-{order.id}"


@wfe.task(retry=wfe.Retry(max_attempts=None, initial_delay="1s"))
def refund(charge: str, reason: str) -> None:
    print(f"refunded {charge}: {reason}")


@wfe.task
def pack(order: Order) -> str:
    time.sleep(order.packing_s)  # a worker that dies now loses nothing: another one packs again
    return f"box-{order.id}"


@wfe.task
def send(order: Order) -> str:
    if order.stock < 1:
        raise OutOfStock(order.id)
    return f"parcel-{order.id}"


@wfe.workflow
def buy(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[dict[str, str]]:
    with wf.when(order.total > 1000):
        wf.approval("manager", to="sales", timeout="2d", escalate=[("1d", "head of sales")])
    charged = charge(order)
    wf.compensate_with(refund, charged, reason=wf.format("order {} failed", order.id))
    pack(order)
    parcel = send(order)  # when it fails, the refund runs, and then the run fails
    wf.emit("order.sent", {"order": order.id, "parcel": parcel})
    return {"charge": charged, "parcel": parcel}
