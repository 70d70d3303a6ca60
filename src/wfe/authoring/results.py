"""What nodes other than tasks give: the types of catch, tolerant maps, approvals, HTTP calls."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class ErrorInfo(Struct, frozen=True):
    """The value of a catch block. ``failed`` false: nothing was caught, and the other fields are empty."""

    failed: bool = False
    type: str = ""
    message: str = ""
    node: str = ""
    attempts: int = 0


class MapResult(Struct, Generic[T], frozen=True):
    """The value of ``wf.map(..., tolerate=...)``: the results, the items that they belong to, the failures."""

    values: list[T]
    indexes: list[int]
    errors: list[ErrorInfo]


class Approval(Struct, frozen=True):
    """A person's decision. ``data``: what the approval's form asked for."""

    approved: bool
    by: str = ""
    comment: str = ""
    data: Any = None


class HttpResponse(Struct, Generic[T], frozen=True):
    """The answer to an HTTP call. ``body`` is the decoded JSON, else text."""

    status: int
    headers: dict[str, str]
    body: T


class Unset:
    """Stands for an argument that was not given, where None is a value."""

    def __repr__(self) -> str:
        return "..."


UNSET_ARGUMENT: Any = Unset()
