"""Who may come in: holders of the server's token, and browsers that one of them let in.

Pure but for the operating system's dice; the clock comes in. A browser gets a cookie that says until when it is good,
signed with a key derived from the token, so that it outlives this process and dies with the token. It is handed out for
the token, or for the code in the URL that the gateway prints at its start, which works once. Invariants: secrets are
compared in constant time; without a token nobody is let in.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

from wfe.limits import SESSION_S

COOKIE = "wfe_session"
_PURPOSE = b"wfe browser session"


class Sessions:
    """``token``: the server's. ``login_code``: opens one session, once."""

    def __init__(self, token: str, wall_s: Callable[[], float]) -> None:
        self._token = token.encode()
        self._key = hmac.digest(self._token, _PURPOSE, "sha256")
        self._wall_s = wall_s
        self.login_code = secrets.token_urlsafe(18)

    def is_token(self, given: str) -> bool:
        return bool(self._token) and hmac.compare_digest(given.encode(), self._token)

    def take_code(self, given: str) -> bool:
        """Whether this is the code, which is spent then."""
        if not self.login_code or not hmac.compare_digest(given.encode(), self.login_code.encode()):
            return False
        self.login_code = ""
        return True

    def cookie(self) -> str:
        """The value of a fresh session's cookie."""
        until = str(int(self._wall_s()) + SESSION_S)
        return f"{until}.{self._sign(until)}"

    def is_session(self, cookie: str) -> bool:
        """Whether a cookie was made here, or by another gateway of this server, and is still good."""
        until, _, signature = cookie.partition(".")
        if not self._token or not (until.isascii() and until.isdecimal() and len(until) < 20):
            return False
        return hmac.compare_digest(signature.encode(), self._sign(until).encode()) and int(until) > self._wall_s()

    def _sign(self, until: str) -> str:
        return hmac.new(self._key, until.encode(), "sha256").hexdigest()
