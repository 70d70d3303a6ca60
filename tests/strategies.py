"""Hypothesis strategies that every room's tests may use. `definitions()` gives random valid definitions.

Values in them are typed: parameters are ``n`` (integer), ``flag`` (boolean), ``items`` (list of integers) and ``data``
(anything); tasks ``t_int`` give integers and ``t_any`` anything. Expressions use only what surely exists, or `merge`.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from msgspec import UNSET

from wfe.model.definition import (
    Block,
    Branch,
    Catch,
    Definition,
    End,
    Fail,
    Map,
    Node,
    Parallel,
    Set,
    Sleep,
    StartWorkflow,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
)
from wfe.model.policy import RetryPolicy

ALL_KINDS = frozenset(
    "task when parallel catch map sleep signal workflow start set end fail if after".split()  # noqa: SIM905
)
"""What `definitions` may be limited to: kinds of node, and the keys ``if`` and ``after``."""

PARAMS: dict[str, dict[str, Any]] = {
    "n": {"type": "integer"},
    "flag": {"type": "boolean"},
    "items": {"type": "array", "items": {"type": "integer"}},
    "data": {},
}
_PARAM_TYPES = {"n": "int", "flag": "bool", "items": "list", "data": "any"}
_TRICKY_TEXTS = ["yes", "no", "on", "true", "null", "~", "", "012", "1e3", "0x1F", "-", "a: b", "# c", "${n}", "$${n}"]
_TRICKY_TEXTS += [
    "x ${n} y",
    "${items}",
    "<<",
    "é",
    "\u2028",
    "two\nlines\n",
    " padded ",
    "'",
    '"',
    "\\",
    "*a",
    "&a",
    "!t",
]
_ID_CHARS = string.ascii_letters + "_"

durations_ms = st.one_of(
    st.integers(1, 10_000), st.sampled_from([60_000, 3_600_000, 86_400_000]), st.integers(1, 10**12)
)
error_names = st.sampled_from(["Exception", "ValueError", "CardDeclined", "TimedOut"])
retries = st.builds(
    RetryPolicy,
    max_attempts=st.none() | st.integers(1, 5),
    initial_delay_ms=st.integers(0, 5_000),
    backoff=st.floats(1.0, 10.0),
    max_delay_ms=st.integers(0, 100_000),
    jitter=st.floats(0.0, 1.0),
    on=st.lists(error_names, min_size=1, max_size=2, unique=True).map(tuple),
    never=st.lists(error_names, max_size=2, unique=True).map(tuple),
)
texts = st.sampled_from(_TRICKY_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(
    lambda text: text.replace("${", "$${")
)
_keys = texts.map(lambda text: text.replace("$", ""))
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=5,
)


@dataclass(frozen=True)
class Known:
    """Names that may be used: ``sure`` always, ``maybe`` inside `merge`; name -> type."""

    sure: dict[str, str] = field(default_factory=dict)
    maybe: dict[str, str] = field(default_factory=dict)

    def __or__(self, other: Known) -> Known:
        return Known({**self.sure, **other.sure}, {**self.maybe, **other.maybe})

    def demoted(self) -> Known:
        return Known({}, {**self.maybe, **self.sure})


@st.composite
def definitions(draw: st.DrawFn, *, kinds: Collection[str] = ALL_KINDS, nodes_max: int = 12) -> Definition:
    """A random valid definition of at most about ``nodes_max`` nodes, made of ``kinds``."""
    return _Generator(draw, frozenset(kinds), nodes_max).definition()


class _Generator:
    def __init__(self, draw: Any, kinds: frozenset[str], nodes_max: int) -> None:
        self.draw = draw
        self.kinds = kinds
        self.budget = nodes_max
        self.taken = {"run", "now", "item", "element", *PARAMS}
        self.makers: dict[str, Callable[[dict[str, Any], Known, int], tuple[Node, str | None, Known]]] = {
            "task": self.task,
            "set": self.set,
            "sleep": self.sleep,
            "signal": self.signal,
            "workflow": self.workflow,
            "start": self.start,
            "when": self.when,
            "parallel": self.parallel,
            "catch": self.catch,
            "map": self.map,
        }

    def definition(self) -> Definition:
        draw = self.draw
        names = draw(st.lists(st.sampled_from(sorted(PARAMS)), unique=True))
        params = {name: PARAMS[name] for name in names}
        known = Known({name: _PARAM_TYPES[name] for name in params})
        nodes, ended = self.block(known, 0)
        return Definition(
            workflow=draw(st.sampled_from(["flow", "checkout", "a.b-c"])),
            version=draw(st.none() | st.integers(1, 9)),
            params=params,
            types=draw(st.sampled_from([{}, {"Order": {"type": "object", "properties": {"id": {"type": "string"}}}}])),
            nodes=nodes,
            output=self.template(ended),
            timeout_ms=draw(st.none() | durations_ms),
            tags=draw(st.sampled_from([{}, {"team": "a", "yes": 1}])),
            description=draw(st.just("") | texts),
        )

    # ---- blocks -----------------------------------------------------------------------------------------------------

    def block(self, start: Known, depth: int, *, concurrent: bool = False) -> tuple[tuple[Node, ...], Known]:
        nodes: list[Node] = []
        after: dict[str, Known] = {}
        everything = start
        previous: str | None = None
        for _ in range(self.draw(st.integers(1, 4))):
            if nodes and self.budget <= 0:
                break
            common: dict[str, Any] = {}
            known = everything if concurrent else start if previous is None else after[previous]
            if "after" in self.kinds and nodes and self.draw(st.integers(0, 4)) == 0:
                chosen = self.draw(st.lists(st.sampled_from(sorted(after)), unique=True, max_size=2))
                common["after"] = tuple(chosen)
                known = start
                for name in chosen:
                    known |= after[name]
            if "if" in self.kinds and self.draw(st.integers(0, 5)) == 0:
                common["if_"] = self.condition(known)
            node, type_, inside = self.node(common, known, depth)
            if node.if_ is not None:
                inside = inside.demoted()
            own = Known({node.id: type_ if node.if_ is None else "any"}) if type_ is not None else Known()
            # In a concurrent block a node waits for what it names only, so others can count on its own values alone.
            after[node.id] = inside | own if concurrent else known | inside | own
            everything |= known | inside | own
            nodes.append(node)
            previous = node.id
        return tuple(nodes), everything

    def node(self, common: dict[str, Any], known: Known, depth: int) -> tuple[Node, str | None, Known]:
        self.budget -= 1
        leaves = [kind for kind in ("task", "set", "sleep", "signal", "workflow", "start") if kind in self.kinds]
        blocks = [kind for kind in ("when", "parallel", "catch", "map") if kind in self.kinds]
        nestable = depth < 3 and self.budget > 0 and blocks
        kind = self.draw(st.sampled_from([*leaves, "task", *(blocks if nestable else [])]))
        return self.makers[kind](common, known, depth)

    def id(self, base: str) -> str:
        choices = [base, f"{base}_2", f"{base}_3"]
        chosen = self.draw(st.sampled_from(choices) | st.text(_ID_CHARS, min_size=1, max_size=3))
        number = 1
        name = chosen
        while name in self.taken or name in ("in",):
            number += 1
            name = f"{chosen}_{number}"
        self.taken.add(name)
        return name

    # ---- kinds ------------------------------------------------------------------------------------------------------

    def task(self, common: dict[str, Any], known: Known, _: int) -> tuple[Node, str | None, Known]:
        draw = self.draw
        typed = draw(st.booleans())
        name = "t_int" if typed else "t_any"
        options: dict[str, Any] = {}
        if draw(st.integers(0, 3)) == 0:
            options = {
                "retry": draw(st.none() | retries),
                "timeout_ms": draw(st.none() | durations_ms),
                "heartbeat_ms": draw(st.none() | durations_ms),
                "redeliver": draw(st.booleans()),
                "priority": draw(st.integers(-5, 5)),
                "task_version": draw(st.integers(1, 3)),
                "labels": draw(st.sampled_from([(), ("gpu",), ("cheap", "zone=eu")])),
                "resources": draw(st.sampled_from([{}, {"gpu": 0.5}, {"cpu": 2, "memory": 512 * 1024**2}])),
            }
        if typed:
            options["returns"] = {"type": "integer"}
        with_ = self.arguments(known)
        return Task(id=self.id(name), task=name, with_=with_, **options, **common), "int" if typed else "any", Known()

    def set(self, common: dict[str, Any], known: Known, _: int) -> tuple[Node, str | None, Known]:
        return Set(id=self.id("set"), value=self.template(known), **common), "any", Known()

    def sleep(self, common: dict[str, Any], known: Known, _: int) -> tuple[Node, str | None, Known]:
        how = self.draw(
            st.one_of(
                st.fixed_dictionaries({"duration_ms": durations_ms}),
                st.sampled_from([{"duration": '"1s"'}, {"duration": "1 + 1"}, {"until": "now()"}]),
            )
        )
        return Sleep(id=self.id("sleep"), **how, **common), None, Known()

    def signal(self, common: dict[str, Any], known: Known, _: int) -> tuple[Node, str | None, Known]:
        timeout = self.draw(st.none() | durations_ms)
        options: dict[str, Any] = {"timeout_ms": timeout}
        if timeout is not None and self.draw(st.booleans()):
            options["default"] = self.template(known)
        if self.draw(st.booleans()) and options.get("default", UNSET) is UNSET:
            options["schema"] = {"type": "integer"}
        node = WaitSignal(id=self.id("signal"), signal=self.draw(st.sampled_from(["go", "stop"])), **options, **common)
        return node, "any", Known()

    def workflow(self, common: dict[str, Any], known: Known, _: int) -> tuple[Node, str | None, Known]:
        version = self.draw(st.none() | st.integers(1, 3))
        timeout_ms = self.draw(st.none() | durations_ms)
        with_ = self.arguments(known)
        node = SubWorkflow(
            id=self.id("child"), workflow="child", version=version, with_=with_, timeout_ms=timeout_ms, **common
        )
        return node, "any", Known()

    def start(self, common: dict[str, Any], known: Known, _: int) -> tuple[Node, str | None, Known]:
        key = self.draw(st.none() | st.just("key-${run.id}"))
        node = StartWorkflow(id=self.id("start"), workflow="child", with_=self.arguments(known), key=key, **common)
        return node, "any", Known()

    def when(self, common: dict[str, Any], known: Known, depth: int) -> tuple[Node, str | None, Known]:
        id_ = self.id("when")
        branches: list[Branch] = []
        inside = Known()
        count = self.draw(st.integers(1, 3))
        for index in range(count):
            last = index == count - 1 and index > 0 and self.draw(st.booleans())
            do, ended = self.block(known, depth + 1)
            if not last and "end" in self.kinds and self.draw(st.integers(0, 5)) == 0:
                do = (*do, End(id=self.id("end"), value=self.template(Known(known.sure)), after=()))
            elif not last and "fail" in self.kinds and self.draw(st.integers(0, 5)) == 0:
                do = (*do, Fail(id=self.id("fail"), error="CardDeclined", message=self.draw(texts_in(known))))
            inside |= ended.demoted()
            branches.append(Branch(None if last else self.condition(known), do))
        return When(id=id_, branches=tuple(branches), **common), None, _without(inside, known)

    def parallel(self, common: dict[str, Any], known: Known, depth: int) -> tuple[Node, str | None, Known]:
        id_ = self.id("parallel")
        do, ended = self.block(known, depth + 1, concurrent=True)
        if self.draw(st.booleans()):
            inner, more = self.block(known, depth + 1)
            do = (*do, Block(id=self.id("branch"), do=inner))
            ended |= more
        return Parallel(id=id_, do=do, **common), None, _without(ended, known)

    def catch(self, common: dict[str, Any], known: Known, depth: int) -> tuple[Node, str | None, Known]:
        id_ = self.id("catch")
        do, ended = self.block(known, depth + 1)
        errors = self.draw(st.lists(error_names, min_size=1, max_size=2, unique=True))
        return Catch(id=id_, errors=tuple(errors), do=do, **common), "error", _without(ended.demoted(), known)

    def map(self, common: dict[str, Any], known: Known, depth: int) -> tuple[Node, str | None, Known]:
        draw = self.draw
        id_ = self.id("map")
        lists = [name for name, type_ in known.sure.items() if type_ == "list"]
        items = draw(st.sampled_from([*lists, "[1, 2, 3]", "[]"]))
        as_ = "item" if "item" not in known.sure else "element"
        if as_ in known.sure:
            return self.task(common, known, depth)
        do, ended = self.block(Known({**known.sure, as_: "int"}, known.maybe), depth + 1)
        options: dict[str, Any] = {"max_parallel": draw(st.sampled_from([1, 2, 100]))}
        if draw(st.booleans()):
            options["output"] = self.template(ended)
        tolerate = draw(st.sampled_from([None, None, "count", "percent"]))
        if tolerate == "count":
            options["tolerate_count"] = draw(st.integers(0, 3))
        elif tolerate == "percent":
            options["tolerate_percent"] = draw(st.floats(0.0, 100.0))
        node = Map(id=id_, items=items, as_=as_, do=do, **options, **common)
        return node, "list" if tolerate is None else "any", Known()

    # ---- expressions ------------------------------------------------------------------------------------------------

    def condition(self, known: Known) -> str:
        choices = ["true", "1 < 2", "!(size([1]) == 2)"]
        for name, type_ in known.sure.items():
            if type_ == "int":
                choices += [f"{name} > 0", f"{name} % 2 == 0 || {name} == 3"]
            elif type_ == "bool":
                choices += [name, f"!{name}"]
            elif type_ == "list":
                choices.append(f"size({name}) > 1")
            elif type_ == "error":
                choices.append(f"{name}.failed")
        choices += [f"has({name})" for name in known.maybe if name not in known.sure]
        return self.draw(st.sampled_from(choices))

    def arguments(self, known: Known) -> dict[str, Any]:
        keys = st.sampled_from(["x", "y", "z"])
        names = self.draw(st.lists(keys, unique=True, max_size=2))
        return {name: self.template(known) for name in names}

    def template(self, known: Known) -> Any:
        return self.draw(templates_in(known))


def _without(inside: Known, outside: Known) -> Known:
    names = {**outside.sure, **outside.maybe}
    return Known(
        {k: v for k, v in inside.sure.items() if k not in names and k not in ("item", "element")},
        {k: v for k, v in inside.maybe.items() if k not in names and k not in ("item", "element")},
    )


def texts_in(known: Known) -> st.SearchStrategy[str]:
    """A template that gives text."""
    references = [f"got ${{{name}}}!" for name in known.sure] or ["nothing"]
    return st.sampled_from(references)


def templates_in(known: Known) -> st.SearchStrategy[Any]:
    """A template over these names."""
    choices: list[Any] = ["${run.id}", "${1 + 1}", "at ${now()}", "$${literal}", "yes", "012", None, 1.5, True]
    choices += [f"${{{name}}}" for name in known.sure]
    choices += [f"<${{{name}}}>" for name in known.sure]
    choices += [f"${{merge({name}, null)}}" for name in known.maybe]
    leaf = st.sampled_from(choices) | plain_values.filter(_closed)
    return leaf | st.lists(leaf, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "on", "1"]), leaf, max_size=2)


def _closed(value: Any) -> bool:
    """Texts in random values name nothing."""
    if isinstance(value, dict):
        return all(_closed(part) for part in value.values())
    if isinstance(value, list):
        return all(_closed(part) for part in value)
    return True
