"""Tables and lists of a state that are mostly empty: empty ones are one object, which nobody can fill. Pure.

An empty dict takes 80 bytes, and a run has two dozen of them: four fifths of its size. So ``run.waits[key] = channel``
is written as ``run.waits = put(run.waits, key, channel)``, which makes a dict when there is none yet. The type checker
knows these tables as read-only but for taking something away, and the shared ones refuse to be filled at run time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from msgspec import Struct

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

if TYPE_CHECKING:

    class Table(Mapping[K, V]):
        """A dict that only `put` fills."""

        def pop(self, key: K, default: Any = ...) -> Any: ...
        def __delitem__(self, key: K) -> None: ...
        def clear(self) -> None: ...

    class Items(Sequence[T]):
        """A list that only `add` fills."""

        def pop(self, index: int = -1) -> T: ...
        def __delitem__(self, index: slice) -> None: ...
        def clear(self) -> None: ...

else:
    Table, Items = dict, list


def _refuse(self: object, *args: object, **named: object) -> NoReturn:
    raise TypeError("the empty table is everybody's: use put or add, which make one of the run's own")


class _Nothing(dict[Any, Any]):
    __slots__ = ()
    __setitem__ = setdefault = update = __ior__ = _refuse


class _NoItems(list[Any]):
    __slots__ = ()
    __setitem__ = append = extend = insert = __iadd__ = __imul__ = _refuse


NOTHING: Any = _Nothing()
NO_ITEMS: Any = _NoItems()


def put(table: Table[K, V], key: K, value: V) -> Table[K, V]:
    """The table with a further entry, or with another value for one that it has."""
    if table is NOTHING:
        return {key: value}  # type: ignore[return-value]
    table[key] = value  # type: ignore[index]
    return table


def add(items: Items[T], item: T) -> Items[T]:
    """The list with a further item at its end."""
    if items is NO_ITEMS:
        return [item]  # type: ignore[return-value]
    items.append(item)  # type: ignore[attr-defined]
    return items


def items_of(items: list[T]) -> Items[T]:
    """These in the place of what was there."""
    return items or NO_ITEMS  # type: ignore[return-value]


def share_empties(state: Struct) -> None:
    """Lets go of a decoded state's empty tables and lists: a decoder makes each of them anew."""
    for name, empty in _shared_fields(type(state)):
        if not getattr(state, name):
            setattr(state, name, empty)


@cache
def _shared_fields(kind: type[Struct]) -> tuple[tuple[str, Any], ...]:
    defaults = kind.__struct_defaults__
    fields = kind.__struct_fields__[len(kind.__struct_fields__) - len(defaults) :]
    return tuple(
        (name, default)
        for name, default in zip(fields, defaults, strict=True)
        if default is NOTHING or default is NO_ITEMS
    )
