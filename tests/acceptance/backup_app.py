"""Runs that start others on other shards, so that mail flows all the time."""

from __future__ import annotations

import time

import wfe


@wfe.task
def add_one(number: int) -> int:
    time.sleep(0.005)
    return number + 1


@wfe.workflow
def leaf(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return add_one(number)


@wfe.workflow
def middle(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return leaf(leaf(number))


@wfe.workflow
def top(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return add_one(middle(number))
