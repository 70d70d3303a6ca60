"""A drawn program with states, choices and loops does what the same program does in plain Python.

Each random program is interpreted twice: by plain values, and on a Graph, whose definition is then run through core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from hypothesis import given
from hypothesis import strategies as st

import wfe
from support.runs import RunDriver

FIELDS = ("a", "b", "c")
MISSING = 555
"""What stands for a variable that no iteration made; not negative, for `%` of those is not Python's in expressions."""


class State(msgspec.Struct):
    a: int = 0
    b: int = 1
    c: int = 2
    turns: int = 0


@wfe.task
def double(n: int) -> int:
    return n * 2 % 1000


@dataclass(frozen=True)
class Sum:
    """A sum of fields that are read here, of variables (by number, round and round) and a constant."""

    fields: tuple[str, ...]
    variables: tuple[int, ...]
    constant: int


@dataclass(frozen=True)
class Read:
    value: Sum


@dataclass(frozen=True)
class Call:
    value: Sum


@dataclass(frozen=True)
class Write:
    field: str
    value: Sum


@dataclass(frozen=True)
class Swap:
    first: str
    second: str


@dataclass(frozen=True)
class When:
    left: Sum
    right: Sum
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True)
class Loop:
    """Ends when its turns are over, or earlier; ``last`` asks for what its last variable was."""

    turns: int
    left: Sum
    right: Sum
    do: tuple[Statement, ...]
    last: bool


Statement: TypeAlias = Read | Call | Write | Swap | When | Loop
Block: TypeAlias = tuple[Statement, ...]

fields = st.sampled_from(FIELDS)
sums = st.builds(
    Sum,
    st.lists(fields, max_size=1).map(tuple),
    st.lists(st.integers(0, 5), max_size=2).map(tuple),
    st.integers(0, 9),
)
simple = st.one_of(st.builds(Read, sums), st.builds(Call, sums), st.builds(Write, fields, sums))
simple = st.one_of(simple, st.builds(Swap, fields, fields))


def blocks(depth: int) -> st.SearchStrategy[Block]:
    if depth == 0:
        return st.lists(simple, min_size=1, max_size=4).map(tuple)
    inner = blocks(depth - 1)
    whens = st.builds(When, sums, sums, inner, inner)
    never = st.just(Sum((), (), 0))
    loops = st.builds(Loop, st.integers(0, 3), sums, st.one_of(never, sums), inner, st.booleans())
    return st.lists(st.one_of(simple, simple, whens, loops), min_size=1, max_size=5).map(tuple)


class Plain:
    """The meaning in plain Python. ``seen``: every value that the program read or called for at its top."""

    def __init__(self) -> None:
        self.state = State()
        self.seen: list[int] = []

    def sum(self, value: Sum, variables: list[int]) -> int:
        found = [getattr(self.state, name) for name in value.fields]
        found += [variables[number % len(variables)] for number in value.variables if variables]
        return (sum(found) + value.constant) % 1000

    def block(self, block: Block, variables: list[int]) -> list[int]:
        """Runs a block with the variables of those around it; gives its own as well."""
        variables = list(variables)
        for statement in block:
            self.statement(statement, variables)
        return variables

    def statement(self, statement: Statement, variables: list[int]) -> None:
        match statement:
            case Read(value):
                variables.append(self.sum(value, variables))
            case Call(value):
                variables.append(double(self.sum(value, variables)))
            case Write(name, value):
                setattr(self.state, name, self.sum(value, variables))
            case Swap(first, second):
                one, other = getattr(self.state, second), getattr(self.state, first)
                setattr(self.state, first, one)
                setattr(self.state, second, other)
            case When(left, right, then, otherwise):
                holds = self.sum(left, variables) < self.sum(right, variables)
                self.block(then if holds else otherwise, variables)
            case Loop():
                self.loop(statement, variables)

    def loop(self, loop: Loop, variables: list[int]) -> None:
        self.state.turns = 0
        last = None
        while True:
            if self.state.turns >= loop.turns:
                break
            self.state.turns += 1
            turns = self.state.turns
            inner = self.block(loop.do, variables)
            self.state.turns = turns
            if len(inner) > len(variables):
                last = inner[-1]
            if self.sum(loop.left, variables) < self.sum(loop.right, variables):
                break
        if loop.last and binds(loop.do):
            variables.append(MISSING if last is None else last)


class Drawn:
    """The same on a Graph."""

    def __init__(self, wf: Any) -> None:
        self.wf = wf
        self.state = wf.state(State())

    def sum(self, value: Sum, variables: list[Any]) -> Any:
        found = [getattr(self.state, name) for name in value.fields]
        found += [variables[number % len(variables)] for number in value.variables if variables]
        total: Any = self.wf.expr(str(value.constant))
        for part in found:
            total = total + part
        return self.wf.expr("n % 1000", n=total)

    def block(self, block: Block, variables: list[Any]) -> list[Any]:
        variables = list(variables)
        for statement in block:
            self.statement(statement, variables)
        return variables

    def statement(self, statement: Statement, variables: list[Any]) -> None:
        wf = self.wf
        match statement:
            case Read(value):
                variables.append(self.sum(value, variables))
            case Call(value):
                variables.append(double(self.sum(value, variables)))
            case Write(name, value):
                setattr(self.state, name, self.sum(value, variables))
            case Swap(first, second):
                one, other = getattr(self.state, second), getattr(self.state, first)
                setattr(self.state, first, one)
                setattr(self.state, second, other)
            case When(left, right, then, otherwise):
                with wf.when(self.sum(left, variables) < self.sum(right, variables)):
                    self.block(then, variables)
                    double(0)  # no block is empty
                with wf.otherwise():
                    self.block(otherwise, variables)
                    double(0)
            case Loop():
                self.loop(statement, variables)

    def loop(self, loop: Loop, variables: list[Any]) -> None:
        wf = self.wf
        self.state.turns = 0
        inner = []
        with wf.loop():
            wf.break_if(self.state.turns >= loop.turns)
            self.state.turns += 1
            turns = self.state.turns
            inner = self.block(loop.do, variables)
            self.state.turns = turns
            wf.break_if(self.sum(loop.left, variables) < self.sum(loop.right, variables))
        if loop.last and binds(loop.do):
            variables.append(wf.merge(inner[-1], MISSING))


def binds(block: Block) -> bool:
    """Whether a block has a variable of its own."""
    return any(
        isinstance(statement, (Read, Call)) or (isinstance(statement, Loop) and statement.last and binds(statement.do))
        for statement in block
    )


@given(blocks(2))
def test_a_drawn_program_means_what_python_means(program: Block) -> None:
    @wfe.workflow
    def flow(wf: wfe.Graph) -> dict[str, Any]:
        drawn = Drawn(wf)
        variables = drawn.block(program, [])
        return {"state": drawn.state, "variables": variables}

    plain = Plain()
    variables = plain.block(program, [])
    run = RunDriver(flow.definition(), None, {"double": double}).finish()
    assert run.output == {"state": msgspec.to_builtins(plain.state), "variables": variables}
