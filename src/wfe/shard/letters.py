"""What letters say: to a run as commands, and what can still be told from one that does not decode. Pure."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from wfe.model.command import ChildBegun, ChildOver, Command, Control, LockGotten
from wfe.model.ids import is_run_id
from wfe.model.mail import ChildControl, ChildEnded, ChildStart, ChildStarted, LockGiven, MailBody
from wfe.model.malformed import MALFORMED
from wfe.model.policy import ErrorInfo
from wfe.partition.entry import Entry
from wfe.wire.messages import Mail

_decode_body = msgspec.msgpack.Decoder(MailBody).decode
_decode_fields = msgspec.msgpack.Decoder(list[object]).decode
_START, _ENDED = 1, 2
"""Tags of `ChildStart` and `ChildEnded`."""


class Unreadable(Exception):
    """A letter that does not decode. ``start``: it asked for a start; ``instead``: what to tell its parent."""

    def __init__(self, reason: str, instead: ChildEnded | None, *, start: bool) -> None:
        super().__init__(reason)
        self.instead = instead
        self.start = start


def read(letter: Mail) -> MailBody:
    """The body of a letter. `Unreadable` when it is none, or is about no run."""
    try:
        body: MailBody = _decode_body(letter.body)
    except MALFORMED as error:
        raise _unreadable(letter, str(error)) from error
    if not is_run_id(body.run_id) or (isinstance(body, ChildStart) and not is_run_id(body.parent)):
        raise Unreadable("it names no run", None, start=False)
    return body


def _unreadable(letter: Mail, reason: str) -> Unreadable:
    """Whoever waits for something must not wait for ever: the places of a letter that has them become an answer."""
    try:
        fields = _decode_fields(letter.body)
    except MALFORMED:
        return Unreadable(reason, None, start=False)
    match fields:
        case [int(tag), str(child), _, _, _, _, _, _, _, str(run_id), int(node), int(act), *_] if tag == _START:
            pass
        case [int(tag), str(run_id), int(node), int(act), str(child), *_] if tag == _ENDED:
            pass
        case _:
            return Unreadable(reason, None, start=False)
    if not is_run_id(run_id):
        return Unreadable(reason, None, start=False)
    what = "the start of" if tag == _START else "the end of"
    error = ErrorInfo("Protocol", f"{what} sub-workflow {child} could not be read: {reason}", types=("Protocol",))
    return Unreadable(reason, ChildEnded(run_id, node, act, child, "failed", error=error), start=tag == _START)


ToRun: TypeAlias = ChildEnded | ChildStarted | ChildControl | LockGiven
"""Letters to a run."""


def command_of(entry: Entry, letter: Mail, body: ToRun) -> Command:
    """What a letter says to a run."""
    if isinstance(body, ChildControl):
        return Control(body.action, f"mail-{letter.sender}-{letter.seq}", body.compensate)
    key = body.act * entry.plan.stride + body.node
    if isinstance(body, LockGiven):
        return LockGotten(key, body.lock, body.refused)
    if isinstance(body, ChildStarted):
        return ChildBegun(key, body.child, body.started)
    return ChildOver(key, body.child, body.status, body.output, body.error)
