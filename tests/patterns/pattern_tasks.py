"""The tasks of the catalogue of patterns: each says its own name."""

from __future__ import annotations

import wfe


@wfe.task
def a() -> str:
    return "a"


@wfe.task
def b() -> str:
    return "b"


@wfe.task
def c() -> str:
    return "c"


@wfe.task
def d() -> str:
    return "d"


@wfe.task
def e() -> str:
    return "e"
