"""What people decide: whether a signal's payload is a decision, and what an approval comes to by it. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from wfe.core.schemas import compile_schema
from wfe.core.values import decode, encode_value
from wfe.errors import InvalidInput
from wfe.limits import ERROR_MESSAGE_CHARS_MAX
from wfe.model.definition import Approval, Definition
from wfe.model.policy import ErrorInfo

_TEXTS = ("by", "comment")
_FIELDS = ("approved", *_TEXTS, "data")


def check_decision(
    approval: Approval, definition: Definition, payload: Raw, *, named: str = "", base: str = "$"
) -> None:
    """InvalidInput when a value is no decision, or its data does not fit the form. ``named``: what it is called in
    messages, else the approval's signal; ``base``: the path of the value."""
    said = decode(payload)
    named = named or f"signal {approval.approval!r}"
    if not isinstance(said, dict) or not isinstance(said.get("approved"), bool):
        wanted = f"{named} decides an approval: {{approved: true or false, by, comment, data}}"
        raise InvalidInput(wanted, f"{base}.approved")
    for field, value in said.items():
        if field not in _FIELDS:
            raise InvalidInput(f"{named} has a field {field!r}: known are {', '.join(_FIELDS)}", base)
        if field in _TEXTS and not (value is None or isinstance(value, str)):
            raise InvalidInput(f"{named}: {field} is text", f"{base}.{field}")
    if approval.form is not None and (said["approved"] or said.get("data") is not None):
        found = compile_schema(approval.form, definition.types).check(said.get("data"))
        if found is not None:
            raise InvalidInput(f"{named}: {found[1]}", f"{base}.data" + found[0].removeprefix("$"))


def decided_by_skip(approval: Approval, definition: Definition, value: Raw) -> tuple[Raw, ErrorInfo | None]:
    """`outcome_of` an approval that is skipped with this decision: it is as if it had been decided so. InvalidInput
    when it is none.
    """
    check_decision(approval, definition, value, named=f"the output for {approval.id!r}", base="output")
    return outcome_of(approval, decode(value))


def outcome_of(approval: Approval, said: dict[str, Any]) -> tuple[Raw, ErrorInfo | None]:
    """The value of an approval that was decided like this, and the error if it is refused and that is a failure."""
    approved, by, comment = said["approved"], said.get("by") or "", said.get("comment") or ""
    error = None
    if not approved and approval.on_reject == "fail":
        message = f"{approval.approval} was refused" + (f" by {by}" if by else "") + (f": {comment}" if comment else "")
        error = ErrorInfo("Rejected", message[:ERROR_MESSAGE_CHARS_MAX], approval.id, types=("Rejected",))
    value = encode_value({"approved": approved, "by": by, "comment": comment, "data": said.get("data")})
    return value, error
