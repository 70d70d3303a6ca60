"""What a Graph offers beside nodes: functions over Refs that become expressions, and facts of the run."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Callable, Sized
from datetime import datetime
from typing import Any, ParamSpec, TypeVar, cast, overload

from wfe.authoring import fields
from wfe.authoring.canvas import Canvas
from wfe.authoring.merging import kept, refs_in
from wfe.authoring.refs import RefProxy, RefState, join, state_of
from wfe.authoring.states import ast_of
from wfe.authoring.templates import constant_ast
from wfe.core.expressions import nodes
from wfe.core.expressions.expression import compile_expression
from wfe.core.expressions.rewrite import substitute
from wfe.errors import ExpressionError

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


class RunFacts:
    """``wf.run``: what is known of the run that executes the graph."""

    __slots__ = ("_canvas",)

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas

    @property
    def id(self) -> str:
        """The run's id."""
        return cast(str, self._fact("id", str))

    @property
    def key(self) -> str:
        """The key that the run was started with; empty when it had none."""
        return cast(str, self._fact("key", str))

    @property
    def scheduled_at(self) -> datetime:
        """When the run was to start."""
        return cast(datetime, self._fact("scheduled_at", datetime))

    def _fact(self, name: str, type_: Any) -> RefProxy:
        return join(self._canvas, [], nodes.Field(nodes.Name("run"), name), type_)


class Functions:
    """The expression functions of a Graph. Plain values work too, as long as one argument is a Ref."""

    __slots__ = ()
    _canvas: Canvas

    @property
    def run(self) -> RunFacts:
        """The run's id, key and time."""
        return RunFacts(self._active())

    def not_(self, condition: bool) -> bool:
        """The opposite of a condition."""
        canvas = self._active()
        state = self._condition(condition, "wf.not_(...)")
        ast = ast_of(state)
        opposite = ast.operand if isinstance(ast, nodes.Unary) and ast.operator == "!" else nodes.Unary("!", ast)
        return cast(bool, join(canvas, [state], opposite, bool))

    def is_none(self, value: object) -> bool:
        """Whether a value is None or missing."""
        return cast(bool, self._call("is_none", bool, value))

    def size(self, value: Sized) -> int:
        """The length of a text or list, or the number of entries of a dict."""
        return cast(int, self._call("size", int, value))

    def contains(self, container: Any, item: object) -> bool:
        """Text in text, an item of a list, a key of a dict."""
        canvas = self._active()
        states = self._states(container, item)
        parts = (constant_ast(canvas, container), constant_ast(canvas, item))
        state = state_of(container)
        if state is not None and fields.kind(state.type) not in ("text", "list", "map", "record", "unknown"):
            raise canvas.fail(f"wf.contains: {state.text} is a {fields.type_name(fields.plain(state.type))}")
        return cast(bool, join(canvas, states, nodes.Call("contains", parts), bool))

    def format(self, template: str, /, *values: object, **names: object) -> str:
        """``wf.format("{} items for {name}", wf.size(order.items), name=order.name)``: text made from values."""
        canvas = self._active()
        if not isinstance(template, str):
            raise canvas.fail("wf.format takes its template as plain text")
        text, used = self._format_places(template, values, names)
        states = self._states(*used)
        return cast(str, join(canvas, states, nodes.Call("format", (nodes.Literal(text), *self._asts(used))), str))

    def _format_places(
        self, template: str, values: tuple[object, ...], names: dict[str, object]
    ) -> tuple[str, list[object]]:
        canvas, text, used, position = self._active(), "", [], 0
        try:
            parsed = list(string.Formatter().parse(template))
        except ValueError as error:
            raise canvas.fail(f"wf.format: {error}") from error
        for literal, place, spec, conversion in parsed:
            text += literal.replace("{", "{{").replace("}", "}}")
            if place is None:
                continue
            if spec or conversion:
                raise canvas.fail("wf.format knows {}, {0} and {name}, without a format after `:` or `!`: use a task")
            name = place or str(position)
            position += not place
            if name.isdigit() and int(name) < len(values):
                used.append(values[int(name)])
            elif name in names:
                used.append(names[name])
            else:
                raise canvas.fail(
                    f"wf.format has no value for {{{place}}}; pass it as an argument (fields too: x=ref.x)"
                )
            text += "{}"
        unused = [name for name in names if not any(names[name] is value for value in used)]
        if unused:
            raise canvas.fail(f"wf.format: {', '.join(unused)} is not in the template {template!r}")
        return text, used

    def expr(self, cel: str, /, **names: object) -> Any:
        """An expression written as text; ``names`` are the values that it may use, next to parameters and node ids."""
        canvas = self._active()
        try:
            ast = compile_expression(cel).ast
        except ExpressionError as error:
            raise canvas.fail(f"wf.expr: {error}") from error
        unused = set(names) - compile_expression(cel).names
        if unused:
            raise canvas.fail(f"wf.expr: {', '.join(sorted(unused))} is not in the expression {cel!r}")
        values = {name: constant_ast(canvas, value) for name, value in names.items()}
        return join(canvas, self._states(*names.values()), substitute(ast, values))

    @overload
    def merge(self, a: A, /) -> A: ...
    @overload
    def merge(self, a: A, b: B, /) -> A | B: ...
    @overload
    def merge(self, a: A, b: B, c: C, /) -> A | B | C: ...
    @overload
    def merge(self, a: A, b: B, c: C, d: D, /) -> A | B | C | D: ...
    @overload
    def merge(self, *values: T) -> T: ...
    def merge(self, *values: Any) -> Any:
        """The first value that exists: values of blocks that the run did not take do not. If none does: a fault."""
        canvas = self._active()
        if not self._states(*values):
            raise canvas.fail("wf.merge takes values that were made in blocks (and, last, a default)")
        values = tuple(kept(canvas, value) for value in values)
        states = self._states(*values)
        types = {fields.type_name(state.type): state.type for state in states}
        type_ = next(iter(types.values())) if len(types) == 1 and len(states) == len(values) else Any
        state = join(canvas, states, nodes.Call("merge", tuple(self._asts(values))), type_).__wfe_ref__
        bound = canvas.closed_in() | {scope for scope in state.scopes if scope.kind == "map"}
        return RefProxy(dataclasses.replace(state, scopes=bound))

    def make(self, cls: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """A dataclass, Struct or pydantic model whose fields may be Refs (pydantic's constructor would check them)."""
        canvas = self._active()
        construct = getattr(cls, "model_construct", None)
        if construct is None:
            try:
                return cls(*args, **kwargs)
            except TypeError as error:
                raise canvas.fail(f"wf.make: {error}") from error
        declared: dict[str, Any] = cls.model_fields  # type: ignore[attr-defined]
        name = getattr(cls, "__name__", "the model")
        if args:
            raise canvas.fail(f"wf.make({name}, ...): a pydantic model takes its fields by name")
        # By alias, as to pydantic's own constructor and to checkers, or by the field's own name.
        names = {field.alias or key: key for key, field in declared.items()} | {key: key for key in declared}
        given = {names.get(key, key): value for key, value in kwargs.items()}
        unknown = [key for key in given if key not in declared]
        missing = [key for key, field in declared.items() if field.is_required() and key not in given]
        if unknown or missing:
            problem = f"has no field {unknown[0]!r}" if unknown else f"lacks {', '.join(missing)}"
            raise canvas.fail(f"wf.make({name}, ...) {problem} (it has: {', '.join(declared)})")
        aliases = {key: field.alias or key for key, field in declared.items()}
        return cast(T, construct(**{aliases[key]: value for key, value in given.items()}))

    # ---- helpers ---------------------------------------------------------------------------------------------------

    def _active(self) -> Canvas:
        raise NotImplementedError

    def _states(self, *values: object) -> list[RefState]:
        return [state for value in values for state in refs_in(value)]

    def _asts(self, values: Any) -> list[nodes.Node]:
        canvas = self._active()
        return [constant_ast(canvas, value) for value in values]

    def _call(self, function: str, type_: Any, *values: object) -> RefProxy:
        canvas = self._active()
        return join(canvas, self._states(*values), nodes.Call(function, tuple(self._asts(values))), type_)

    def _condition(self, condition: object, what: str) -> RefState:
        canvas = self._active()
        state = state_of(condition)
        if state is None:
            raise canvas.fail(
                f"{what} takes a condition made of Refs, and {condition!r} is a plain value, known while drawing "
                "(`is`, `in`, isinstance and comparisons of plain values give those); a plain `if` decides it"
            )
        canvas.check_condition(state, what)
        return state
