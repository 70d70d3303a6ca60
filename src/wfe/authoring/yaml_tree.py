"""YAML or JSON text -> a tree of values in which each knows its line and column. Strict on purpose.

A subset of YAML that means the same to everybody: JSON's types only; ``true`` and ``false`` are the only booleans (so
``on:`` and ``no`` are text); keys are text and never repeated; no anchors, aliases, merge keys or tags. Bounded in
size, depth and number of values while it is read, without recursion, so that no text can exhaust memory or the stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import yaml

from wfe.limits import DEFINITION_BYTES_MAX, DEFINITION_DEPTH_MAX, DEFINITION_NODES_MAX

TREE_DEPTH_MAX = 4 * DEFINITION_DEPTH_MAX
"""A block takes two levels of the tree (its mapping and its list); schemas and values nest within the innermost."""
TREE_VALUES_MAX = 20 * DEFINITION_NODES_MAX
_DIGITS_MAX = 19
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED_INT = re.compile(r"[-+]?0(?:x[0-9a-fA-F]+|o[0-7]+)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = frozenset(
    sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN")
)
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SURROGATES = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|[\s\S])")
_FOREIGN = re.compile("[\x7f-\x9f\u2028\u2029\ufffe\uffff]")
"""What JSON may hold in a text as it is, and YAML does not, or takes for the end of a line."""


class Mark(NamedTuple):
    """A place in a text, 1-based."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without parts. ``plain``: written without quotes."""

    value: bool | int | float | str | None
    mark: Mark
    plain: bool = True


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: list[Tree]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping; ``keys``: where each key stands."""

    entries: dict[str, Tree]
    keys: dict[str, Mark]
    mark: Mark


Tree: TypeAlias = Scalar | Sequence | Mapping


class TextError(Exception):
    """The text cannot be read; ``message`` says why, ``mark`` where."""

    def __init__(self, message: str, mark: Mark) -> None:
        self.message, self.mark = message, mark
        super().__init__(f"{mark.line}:{mark.column}: {message}")


class ScalarError(ValueError):
    """Plain text that is no value of JSON, or that people read in different ways."""


def plain_value(text: str) -> bool | int | float | str | None:
    """What a word without quotes means. ScalarError when that is not clear."""
    if text in _WORDS:
        return _WORDS[text]  # type: ignore[no-any-return]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        if len(text) > _DIGITS_MAX and not -(2**63) <= int(text[:40]) < 2**63:
            raise ScalarError(f"{text[:40]} is outside the 64-bit integers; put it in quotes to have it as text")
        return int(text)
    if _BASED_INT.fullmatch(text):
        if len(text) > _DIGITS_MAX:
            raise ScalarError(f"{text[:40]} is too long a number")
        return int(text.replace("0o", "0").replace("0x", "0"), 16 if "x" in text else 8)
    if _LEADING_ZERO.fullmatch(text):
        raise ScalarError(f"{text[:40]} starts with a zero: drop it, or put the text in quotes")
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ScalarError(f"{text[:40]} is too large a number")
        return value
    if text in _NOT_FINITE:
        raise ScalarError(f"{text} has no form in JSON")
    return text


def read_documents(text: str, *, json: bool = False) -> Iterator[Tree]:
    """The documents of a text, empty ones left out. Raises TextError. ``json``: the text is JSON."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise TextError("the text is not valid Unicode", _mark_at(text, error.start)) from None
    if size > DEFINITION_BYTES_MAX:
        raise TextError(f"the text has {size} bytes, the limit is {DEFINITION_BYTES_MAX}", Mark(1, 1))
    if json:
        text = _SURROGATES.sub(_join_surrogates, text)
        text = _FOREIGN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    try:
        yield from _Reader().documents(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "the text is not YAML"
        raise TextError(_explain(problem), _mark_of(mark)) from None
    except yaml.reader.ReaderError as error:
        place = _mark_at(text, error.position)
        raise TextError(f"the character {error.character!r} is not allowed: {error.reason}", place) from None


def to_value(tree: Tree) -> Any:
    """The plain JSON value of a tree."""
    match tree:
        case Scalar(value):
            return value
        case Sequence(items):
            return [to_value(item) for item in items]
        case Mapping(entries):
            return {key: to_value(entry) for key, entry in entries.items()}


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come; ``key``: the one that waits for its value."""

    tree: Sequence | Mapping
    key: str | None = None


@dataclass(slots=True)
class _Reader:
    count: int = 0
    open: list[_Open] = field(default_factory=list)
    finished: Tree | None = None

    def documents(self, text: str) -> Iterator[Tree]:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            mark = _mark_of(event.start_mark)
            match event:
                case yaml.AliasEvent():
                    raise TextError(f"aliases (*{event.anchor}) are not supported: write the value out", mark)
                case yaml.ScalarEvent():
                    self._check(event, mark)
                    self._add(self._scalar(event, mark), mark)
                case yaml.SequenceStartEvent():
                    self._check(event, mark)
                    self._enter(Sequence([], mark), mark)
                case yaml.MappingStartEvent():
                    self._check(event, mark)
                    self._enter(Mapping({}, {}, mark), mark)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    self.open.pop()
                case yaml.DocumentEndEvent():
                    if self.finished is not None and self.finished != Scalar(None, self.finished.mark):
                        yield self.finished
                    self.finished = None
                case _:
                    pass

    def _check(self, event: Any, mark: Mark) -> None:
        if event.anchor is not None:
            raise TextError(f"anchors (&{event.anchor}) are not supported: write the value out each time", mark)
        if event.tag is not None:
            raise TextError(f"tags ({event.tag}) are not supported", mark)
        self.count += 1
        if self.count > TREE_VALUES_MAX:
            raise TextError(f"the text holds more than {TREE_VALUES_MAX} values", mark)

    def _scalar(self, event: Any, mark: Mark) -> Scalar:
        plain = event.implicit[0]
        if not plain:
            return Scalar(event.value, mark, False)
        try:
            return Scalar(plain_value(event.value), mark)
        except ScalarError as error:
            raise TextError(str(error), mark) from None

    def _enter(self, tree: Sequence | Mapping, mark: Mark) -> None:
        if len(self.open) >= TREE_DEPTH_MAX:
            raise TextError(f"values are nested deeper than {TREE_DEPTH_MAX} levels", mark)
        self._add(tree, mark)
        self.open.append(_Open(tree))

    def _add(self, tree: Tree, mark: Mark) -> None:
        if not self.open:
            self.finished = tree
            return
        holder = self.open[-1]
        if isinstance(holder.tree, Sequence):
            holder.tree.items.append(tree)
        elif holder.key is None:
            holder.key = _key(holder.tree, tree, mark)
        else:
            holder.tree.entries[holder.key] = tree
            holder.key = None


def _key(mapping: Mapping, tree: Tree, mark: Mark) -> str:
    if not isinstance(tree, Scalar) or not isinstance(tree.value, str):
        shown = f"{to_value(tree)!r} is none" if isinstance(tree, Scalar) else "a list or mapping is none"
        raise TextError(f"keys are text, and {shown}; put it in quotes", mark)
    key = tree.value
    if key == "<<" and tree.plain:
        raise TextError("merge keys (<<) are not supported: write the values out", mark)
    if key in mapping.keys:
        first = mapping.keys[key]
        raise TextError(f"the key {key!r} is already given at {first.line}:{first.column}", mark)
    mapping.keys[key] = mark
    return key


def _mark_of(mark: Any) -> Mark:
    return Mark(1, 1) if mark is None else Mark(mark.line + 1, mark.column + 1)


def _mark_at(text: str, position: int) -> Mark:
    before = text[:position]
    return Mark(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


def _join_surrogates(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    return chr(0x10000 + ((int(match[1], 16) - 0xD800) << 10) + int(match[2], 16) - 0xDC00)


_HINTS = {
    "cannot start any token": "tabs cannot indent, and a text that starts with %, @ or ` needs quotes",
    "mapping values are not allowed": 'a text that holds ": " needs quotes',
    "did not find expected ','": "between { } or [ ] a text that holds braces, brackets or commas needs quotes",
}


def _explain(problem: str) -> str:
    hint = next((hint for words, hint in _HINTS.items() if words in problem), None)
    return f"{problem} ({hint})" if hint else problem
