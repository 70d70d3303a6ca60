"""Refs inside dataclasses, Structs and models that are parts of expressions: items of a map, operands, arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest

import wfe
from wfe.testing import Env

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass
class Line:
    sku: str
    count: int = 1
    due: datetime = NOON


class Parcel(msgspec.Struct, rename="camel", tag="parcel"):
    the_lines: list[Line]
    weight: float = 0.5


class Label(pydantic.BaseModel):
    text: str
    line_count: int = pydantic.Field(alias="lineCount")


class Pair(NamedTuple):
    left: int
    right: Line


@wfe.task
def show(line: Line) -> str:
    return f"{line.count} {line.sku} {line.due:%H}"


@wfe.workflow
def mapped(wf: wfe.Graph, n: int) -> list[str]:
    return wf.map(show, [Line("a", n), Line("b", n + 1), Line("c")])


@wfe.workflow
def computed(wf: wfe.Graph, n: int) -> list[Any]:
    parcel = Parcel([Line("a", n), Line("b")])
    label = wf.make(Label, text="x", lineCount=n)
    return [
        wf.expr("parcel.theLines.map(line, line.count)", parcel=parcel),
        wf.expr("parcel.type + string(parcel.weight)", parcel=parcel),
        wf.expr("label.lineCount + pair[1].count", label=label, pair=Pair(n, Line("p", n))),
        wf.size([Line("a", n), Line("b", n)]),
        wf.format("{}", {"sku": Line("a", n).count}),
    ]


@wfe.workflow
def compared(wf: wfe.Graph, line: Line) -> list[bool]:
    same = Line("a", line.count, NOON)
    return [line == same, same == line, line != Line("b", line.count, NOON), wf.contains([same], line)]


def test_objects_with_refs_are_items_of_a_map(wfe_env: Env) -> None:
    assert wfe_env.run(mapped, 3) == ["3 a 12", "4 b 12", "1 c 12"]


def test_objects_with_refs_are_arguments_of_expressions_as_they_are_encoded(wfe_env: Env) -> None:
    assert wfe_env.run(computed, 3) == [[3, 1], "parcel0.5", 6, 2, '{"sku": 3}']


def test_objects_with_refs_are_equal_to_what_is_encoded_alike(wfe_env: Env) -> None:
    assert wfe_env.run(compared, Line("a", 7)) == [True, True, True, True]
    assert wfe_env.run(compared, Line("b", 7)) == [False, False, False, False]


def test_a_secret_inside_an_object_stays_out_of_expressions() -> None:
    @wfe.workflow
    def hidden(wf: wfe.Graph, n: int) -> object:
        return wf.expr("line.sku", line=Line(wfe.secret("TOKEN"), n))

    with pytest.raises(wfe.GraphError, match="a secret can only be handed to a task"):
        hidden.definition()


def test_a_detached_run_needs_text_as_its_key() -> None:
    @wfe.workflow
    def starts_by_a_number(wf: wfe.Graph, n: int) -> str:
        return wf.start(mapped, n, key=n)

    @wfe.workflow
    def starts_by_a_plain_number(wf: wfe.Graph, n: int) -> str:
        return wf.start(mapped, n, key=5)

    for workflow, key in ((starts_by_a_number, "n"), (starts_by_a_plain_number, "5")):
        with pytest.raises(wfe.GraphError, match=rf"wf\.start\(key=\.\.\.\) takes text, and {key} is none; use wf"):
            workflow.definition()
