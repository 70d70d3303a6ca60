"""Operators on Refs mean what they do in Python: a drawn expression gives what the same lambda gives on values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wfe
from wfe.core.expressions import ExpressionError, compile_template

NUMBERS = st.integers(-1000, 1000) | st.floats(-1000, 1000).map(lambda x: round(x, 3))
TEXTS = st.text(max_size=5)
Build = Callable[[Any, Any, Any, Any], Any]
ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


def _numeric(depth: int, *, division: bool = True) -> st.SearchStrategy[Build]:
    leaves: st.SearchStrategy[Build] = st.sampled_from([lambda wf, a, b, t: a, lambda wf, a, b, t: b])
    constants: st.SearchStrategy[Build] = NUMBERS.map(lambda n: lambda wf, a, b, t: n)
    if depth == 0:
        return leaves
    inner = _numeric(depth - 1, division=division)
    pairs = st.tuples(
        st.sampled_from(ARITHMETIC if division else ARITHMETIC[:3]), inner, inner | constants, st.booleans()
    )
    return leaves | pairs.map(lambda p: _pair(p[0], *((p[1], p[2]) if p[3] else (p[2], p[1]))))


def _pair(operate: Callable[[Any, Any], Any], left: Build, right: Build) -> Build:
    return lambda wf, a, b, t: operate(left(wf, a, b, t), right(wf, a, b, t))


def _condition(depth: int) -> st.SearchStrategy[Build]:
    compared: st.SearchStrategy[Build] = st.tuples(
        st.sampled_from(COMPARISONS), _numeric(2, division=False), _numeric(1, division=False)
    ).map(lambda p: _pair(*p))
    if depth == 0:
        return compared
    inner = _condition(depth - 1)
    both = st.tuples(st.sampled_from([operator.and_, operator.or_]), inner, inner).map(lambda p: _pair(*p))
    negated = inner.map(lambda build: lambda wf, a, b, t: wf.not_(build(wf, a, b, t)))
    return compared | both | negated


class PlainFunctions:
    """What the functions of a Graph mean, on values."""

    @staticmethod
    def not_(condition: bool) -> bool:
        return not condition

    @staticmethod
    def size(value: Any) -> int:
        return len(value)

    @staticmethod
    def contains(container: Any, item: Any) -> bool:
        return item in container

    @staticmethod
    def format(template: str, *values: Any) -> str:
        return template.format(*values)


@wfe.task
def show(value: Any) -> None: ...


def _drawn(build: Build) -> Any:
    @wfe.workflow
    def flow(wf: wfe.Graph, a: Any, b: Any, t: str) -> Any:
        show(t)
        return build(wf, a, b, t)

    return flow.definition().output


def _check(build: Build, a: Any, b: Any, t: str) -> None:
    names = {"a": a, "b": b, "t": t}
    template = compile_template(_drawn(build))
    try:
        expected = build(PlainFunctions, a, b, t)
    except ZeroDivisionError:
        with pytest.raises(ExpressionError):
            template.evaluate(names.__getitem__)
        return
    found = template.evaluate(names.__getitem__)
    if isinstance(expected, float) or isinstance(found, float):
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
    else:
        assert found == expected


@settings(max_examples=60)
@given(build=_numeric(4), a=NUMBERS, b=NUMBERS)
def test_arithmetic_means_what_it_means_in_python(build: Build, a: Any, b: Any) -> None:
    _check(build, a, b, "")


@settings(max_examples=60)
@given(build=_condition(3), a=st.integers(-5, 5), b=st.integers(-5, 5))
def test_conditions_mean_what_they_mean_in_python(build: Build, a: int, b: int) -> None:
    _check(build, a, b, "")  # without division: `&` and `|` absorb an error when the other side decides


@settings(max_examples=60)
@given(a=TEXTS, t=TEXTS, extra=TEXTS)
def test_text_means_what_it_means_in_python(a: str, t: str, extra: str) -> None:
    escaped = extra.replace("{", "{{").replace("}", "}}")
    _check(lambda wf, a, b, t: t + extra + t, a, None, t)
    _check(lambda wf, a, b, t: wf.format(escaped + "{}-{}", t, t), a, None, t)
    _check(lambda wf, a, b, t: wf.size(t + extra), a, None, t)
    _check(lambda wf, a, b, t: wf.contains(t, extra), a, None, t)
    _check(lambda wf, a, b, t: {"k": [t, extra], extra: 1}, a, None, t)
