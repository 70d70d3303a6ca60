"""The tasks of the order workflow in orders.yaml. Two of them call an HTTP service that fails often."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from http.client import HTTPConnection

import wfe


@dataclass
class Item:
    sku: str
    quantity: int
    price_cents: int


@dataclass
class Order:
    id: str
    items: list[Item]


class ServiceFailed(Exception):
    """The shop's service said no, for now."""


def call_service(path: str, body: dict[str, object]) -> str:
    """Posts to the service that the demo runs on loopback. The key makes a repeated call harmless."""
    connection = HTTPConnection(os.environ["DEMO_SERVICE"], timeout=5)
    try:
        connection.request("POST", path, json.dumps(body), {"Idempotency-Key": wfe.context().key})
        response = connection.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise ServiceFailed(f"{path}: {response.status} {text}")
        return text
    finally:
        connection.close()


@wfe.task
def reserve(order: Order) -> str:
    return call_service("/reserve", {"order": order.id})


@wfe.task
def price(item: Item) -> int:
    """Cents for one line; ten and more of a kind are 5 % off."""
    cents = item.quantity * item.price_cents
    return cents * 95 // 100 if item.quantity >= 10 else cents


@wfe.task
def add_up(prices: list[int]) -> int:
    return sum(prices)


@wfe.task
async def review(order: Order, total_cents: int) -> str:
    return f"{order.id} checked by hand at {total_cents / 100:.2f}"


@wfe.task
def charge(order: Order, total_cents: int) -> str:
    return call_service("/charge", {"order": order.id, "cents": total_cents})
