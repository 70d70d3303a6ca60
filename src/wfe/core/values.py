"""Reading values of a run: payloads stay encoded unless an expression names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from wfe.core.expressions import Absent, Expression, Template
from wfe.core.expressions.times import timestamp_from_ms, timestamp_text
from wfe.core.groups import item_of, total_of
from wfe.core.plan import Input, Plan, Source, SourceKind
from wfe.errors import ExpressionError
from wfe.limits import BLOB_BYTES_MIN, PAYLOAD_BYTES_MAX
from wfe.model.blob import REF_BYTES, Blobs, compact, expand, names_in, size_of, whole
from wfe.model.malformed import MALFORMED
from wfe.model.policy import ErrorInfo
from wfe.model.state import RunState

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder().decode
_decode_members = msgspec.msgpack.Decoder(dict[str, Raw]).decode
decode_items = msgspec.msgpack.Decoder(list[Raw]).decode
Lookup = Callable[[str], Any]
_PARAM, _ITEM, _INDEX = SourceKind.PARAM, SourceKind.ITEM, SourceKind.INDEX
"""Members of an enum cost a look-up each time that they are named."""
_decoded_last: dict[bytes, Any] = {}
"""By reference: a content has one name in all runs."""


def encode_value(value: Any, blobs: Blobs = {}) -> Raw:  # noqa: B006 - never changed
    """A value that expressions made, encoded. ExpressionError when it can't be, or is too large with its blobs."""
    try:
        data = encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise ExpressionError(f"the value cannot be encoded: {error}") from error
    size_bytes = size_of(data, blobs) if blobs else len(data)
    if size_bytes > PAYLOAD_BYTES_MAX:
        raise ExpressionError(f"the value has {size_bytes} bytes, the limit is {PAYLOAD_BYTES_MAX}")
    return Raw(data)


def split_items(items: Raw) -> list[Raw]:
    """The encoded elements of an encoded array. ExpressionError when it is none. Copies, so that no view pins the
    whole."""
    try:
        return [item.copy() for item in decode_items(items)]
    except MALFORMED as error:
        raise ExpressionError("a list of items is wanted") from error


def group_key(run: RunState, plan: Plan, scope: int, act: int) -> int:
    """The key of the map or loop that an activation of its body belongs to."""
    frame = run.frames.get(act)
    if frame is not None:
        return frame.group
    home = run.homes.get(act)
    return plan.scopes[scope].holder if home is None else home


def item_index(run: RunState, group: int, act: int) -> int:
    """Which item an activation of a map body is."""
    frame = run.frames.get(act)
    return act - run.groups[group].base if frame is None else frame.index


def act_of_scope(run: RunState, plan: Plan, scope: int, act: int, wanted: int) -> int:
    """The activation of an outer scope around an activation."""
    while scope != wanted:
        act = group_key(run, plan, scope, act) // plan.stride
        scope = plan.scopes[scope].parent
    return act


def item_is_open(run: RunState, plan: Plan, scope: int, act: int) -> bool:
    """Whether an item without a frame still counts: its map may have been withdrawn."""
    key = run.homes.get(act)
    group = run.groups.get(plan.scopes[scope].holder if key is None else key)
    return group is not None and group.base <= act < group.base + total_of(group)


def read(run: RunState, plan: Plan, scope: int, act: int, source: Source) -> Raw | None:
    """The encoded value of a source seen from an activation in a scope; None when there is none (yet)."""
    kind = source.kind
    if kind is _PARAM:
        if len(plan.params) == 1:
            return run.input
        return _decode_members(whole(run.input, run.blobs)).get(source.name)
    if scope != source.scope:
        act, scope = act_of_scope(run, plan, scope, act, source.scope), source.scope
    if kind is _ITEM:
        return _item(run, group_key(run, plan, scope, act), act)
    frame = run.frames[act]
    return encode_value(frame.index) if kind is _INDEX else frame.values.get(source.node)


def _item(run: RunState, holder: int, act: int) -> Raw:
    """The item that an activation of a map's or a loop's body is about."""
    loop = run.loops.get(holder) if run.loops else None
    if loop is not None:
        return item_of(loop, run.frames[act].index, run.blobs)
    group = run.groups[holder]
    frame = run.frames.get(act)
    index = act - group.base if frame is None else frame.index
    return group.items[index] if group.items else item_of(group, index, run.blobs)


def lookup_for(run: RunState, plan: Plan, scope: int, act: int, now_ms: int) -> Lookup:
    """A function name -> decoded value for expressions at this place. Raises `Absent` for what has no value.

    A value is decoded once, however often it is named: inside a comprehension that may be for each element.
    """
    known: dict[str, Any] = {}

    def lookup(name: str) -> Any:
        if name in known:
            return known[name]
        source = _resolve(plan, scope, name)
        if source is None:
            raise Absent(f"unknown name {name!r}")
        if source.kind is SourceKind.RUN:
            return run_facts(run)
        if source.kind is SourceKind.NOW:
            return now_ms
        value = read(run, plan, scope, act, source)
        if value is None:
            raise Absent(f"{name} has no value here")
        try:
            found = known[name] = _decoded_blob(value, run.blobs) if run.blobs else decode(value)
            return found
        except MALFORMED as error:
            raise ExpressionError(f"the value of {name} is malformed: {error}") from error

    return lookup


def _decoded_blob(value: Raw, blobs: Blobs) -> Any:
    """A value of a run that has blobs. The large one that was decoded last is likely to be wanted again, for the next
    of many tasks; nobody changes it."""
    if len(value) != REF_BYTES or whole(value, blobs) is value:
        return decode(expand(value, blobs))
    name = bytes(value)
    if name not in _decoded_last:
        found = decode(expand(value, blobs))
        _decoded_last.clear()
        _decoded_last[name] = found
    return _decoded_last[name]


def caught_value(error: ErrorInfo | None) -> Raw:
    """The value of a catch block."""
    found = error or ErrorInfo("")
    return Raw(
        encode(
            {
                "failed": error is not None,
                "type": found.type,
                "message": found.message,
                "node": found.node,
                "attempts": found.attempts,
            }
        )
    )


def run_facts(run: RunState) -> dict[str, Any]:
    """What expressions see as ``run``; times as RFC 3339 text."""
    started = timestamp_text(timestamp_from_ms(run.started_ms))
    return {
        "id": run.id,
        "key": run.key,
        "workflow": run.workflow,
        "version": run.version,
        "started_at": started,
        "scheduled_at": started,
    }


def _resolve(plan: Plan, scope: int, name: str) -> Source | None:
    while scope >= 0:
        source = plan.scopes[scope].names.get(name)
        if source is not None:
            return source
        scope = plan.scopes[scope].parent
    return None


def evaluate(run: RunState, plan: Plan, scope: int, act: int, what: Expression | Template, now_ms: int) -> Any:
    """The decoded value of an expression or template at this place. ExpressionError when it has none."""
    return what.evaluate(lookup_for(run, plan, scope, act, now_ms))


def truth(value: Any, text: str) -> bool:
    """The value of a condition. ExpressionError when it is neither true nor false."""
    if not isinstance(value, bool):
        raise ExpressionError("a condition must be true or false", text=text)
    return value


def evaluate_truth(run: RunState, plan: Plan, scope: int, act: int, what: Expression | Template, now_ms: int) -> bool:
    """As `evaluate`, for a condition."""
    assert isinstance(what, Expression)
    return truth(evaluate(run, plan, scope, act, what, now_ms), what.text)


def evaluate_raw(run: RunState, plan: Plan, scope: int, act: int, what: Expression | Template, now_ms: int) -> Raw:
    """As `evaluate`, encoded; a value that is just named is handed on without decoding it."""
    if what.sole_name is not None:
        source = _resolve(plan, scope, what.sole_name)
        if source is not None and source.kind in (SourceKind.PARAM, SourceKind.NODE, SourceKind.ITEM):
            value = read(run, plan, scope, act, source)
            if value is None:
                raise Absent(f"{what.sole_name} has no value here")
            return value
    if not run.blobs:
        if isinstance(what, Template) and what.constant:
            return _constant(what)
        return encode_value(evaluate(run, plan, scope, act, what, now_ms))
    return slim(run, encode_value(_with_references(run, plan, scope, act, what, now_ms), run.blobs))


def _constant(what: Template) -> Raw:
    """The encoded value of a template without expressions, which is worked out once."""
    if what.encoded is None:
        what.encoded = encode_value(what.evaluate(_nobody))
    return what.encoded


def _nobody(name: str) -> Any:
    raise Absent(f"unknown name {name!r}")


def slim(run: RunState, value: Raw) -> Raw:
    """A value on its way into an event, with references for those of its parts that the state holds already."""
    if len(value) < BLOB_BYTES_MIN or not run.blobs:
        return value
    return compact(value, lambda name, _: name in run.blobs)


def _with_references(run: RunState, plan: Plan, scope: int, act: int, what: Expression | Template, now_ms: int) -> Any:
    """As `evaluate`, but members of an object that are just named, and large, stay encoded."""
    lookup = lookup_for(run, plan, scope, act, now_ms)
    if isinstance(what, Expression) or not what.entries:
        return what.evaluate(lookup)
    made: dict[str, Any] = {}
    for name, member in what.entries.items():
        source = None if member.sole_name is None else _resolve(plan, scope, member.sole_name)
        kept = None
        if source is not None and source.kind in (SourceKind.PARAM, SourceKind.NODE, SourceKind.ITEM):
            kept = read(run, plan, scope, act, source)
        made[name] = kept if kept is not None and names_in(kept) else member.evaluate(lookup)
    return made


def splice(run: RunState, plan: Plan, scope: int, act: int, made: Input) -> Raw:
    """A task's input from state, without decoding any value. The compiler made sure that every source has one."""
    if made.fixed is not None:
        return made.fixed
    parts: list[bytes | Raw] = []
    for piece in made.pieces:
        if isinstance(piece, bytes):
            parts.append(piece)
        else:
            value = read(run, plan, scope, act, piece)
            assert value is not None, f"{piece.name} must have a value by now"
            parts.append(value)
    return Raw(b"".join(parts))
