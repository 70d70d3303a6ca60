"""What decoding bytes from outside may raise. Pure.

Text that is no UTF-8 is not among msgspec's own errors, and values nested without end exhaust the stack: whoever
decodes what others wrote catches all of them.
"""

from __future__ import annotations

from typing import Final

from msgspec import DecodeError

MALFORMED: Final = (DecodeError, UnicodeDecodeError, RecursionError)
