"""What names and orders a run besides its input: key, tags, priority, checked before anything of it is under way.

Pure. The server checks what others send; here the caller learns of a mistake at the line that made it, and what cannot
be encoded never travels with the starts of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wfe.errors import InvalidInput
from wfe.limits import KEY_CHARS_MAX, TAG_CHARS_MAX, TAGS_MAX

PRIORITY_MAX = (1 << 63) - 1
"""What the wire carries as a signed number."""


def key_of(key: Any) -> str:
    """The text of a key; None: there is none. InvalidInput."""
    return "" if key is None else given_key(key)


def given_key(key: Any) -> str:
    """A key that must be there. InvalidInput."""
    return checked_text(key, "a key", "key", KEY_CHARS_MAX)


def priority_of(priority: Any) -> int:
    """A whole number. InvalidInput."""
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise InvalidInput(f"a priority is a whole number, not {priority!r:.100}", "priority")
    if not -PRIORITY_MAX <= priority <= PRIORITY_MAX:
        raise InvalidInput(f"a priority lies between -{PRIORITY_MAX} and {PRIORITY_MAX}", "priority")
    return priority


def tags_of(tags: Any) -> dict[str, str]:
    """Names and values; None: there are none. InvalidInput."""
    if tags is None:
        return {}
    if not isinstance(tags, Mapping):
        raise InvalidInput(f"tags are a dict of names and values, not {tags!r:.100}", "tags")
    if len(tags) > TAGS_MAX:
        raise InvalidInput(f"a run has at most {TAGS_MAX} tags", "tags")
    return {
        checked_text(name, "a tag's name", "tags", TAG_CHARS_MAX): checked_text(
            value, f"the value of tag {name!r:.100}", "tags", TAG_CHARS_MAX
        )
        for name, value in tags.items()
    }


def checked_text(value: Any, what: str, path: str, chars_max: int) -> str:
    """Text that the wire can carry. InvalidInput."""
    if not isinstance(value, str):
        raise InvalidInput(f"{what} is text, not {value!r:.100}", path)
    if len(value) > chars_max:
        raise InvalidInput(f"{what} has at most {chars_max} characters, not {len(value)}", path)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidInput(f"{what} holds half a character (a lone surrogate): {value!a:.100}", path) from None
    return value
