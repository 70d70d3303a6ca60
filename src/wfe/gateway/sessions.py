"""Who may come in: holders of the server's token, and browsers that one of them let in.

Pure but for the operating system's dice; the clock comes in. A browser gets a cookie that says until when it is good,
signed with a key derived from the token, so that it outlives this process and dies with the token. It is handed out for
the token, or for the code in the URL that the gateway prints at its start, which works once. Which sessions were ended
before their time only this process knows, and only as long as it runs. Invariants: secrets are compared in constant
time; without a token nobody is let in.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

from wfe.limits import SESSION_S, SESSIONS_ENDED_MAX

COOKIE = "wfe_session"
_PURPOSE = b"wfe browser session"


class Sessions:
    """``token``: the server's. ``login_code``: opens one session, once."""

    def __init__(self, token: str, wall_s: Callable[[], float]) -> None:
        self._token = token.encode()
        self._key = hmac.digest(self._token, _PURPOSE, "sha256")
        self._wall_s = wall_s
        self.login_code = secrets.token_urlsafe(18)
        self._ended: dict[str, int] = {}
        """Sessions that were logged out, and until when their cookies would be good."""

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
        session = f"{int(self._wall_s()) + SESSION_S}.{secrets.token_hex(16)}"
        return f"{session}.{self._sign(session)}"

    def is_session(self, cookie: str) -> bool:
        """Whether a cookie was made here, or by another gateway of this server, and is still good."""
        return self._session_of(cookie) is not None

    def end(self, cookie: str) -> None:
        """Logs its session out: copies of the cookie are void here, too."""
        session = self._session_of(cookie)
        if session is None:
            return
        if len(self._ended) >= SESSIONS_ENDED_MAX:
            now_s = self._wall_s()
            self._ended = {known: until_s for known, until_s in self._ended.items() if until_s > now_s}
            if len(self._ended) >= SESSIONS_ENDED_MAX:
                del self._ended[next(iter(self._ended))]
        self._ended[session] = _until_s(session)

    def _session_of(self, cookie: str) -> str | None:
        """The session of a cookie that is good."""
        session, _, signature = cookie.rpartition(".")
        if not self._token or not hmac.compare_digest(signature.encode(), self._sign(session).encode()):
            return None
        return session if _until_s(session) > self._wall_s() and session not in self._ended else None

    def _sign(self, session: str) -> str:
        return hmac.new(self._key, session.encode(), "sha256").hexdigest()


def _until_s(session: str) -> int:
    """Of a session whose signature is right."""
    return int(session.partition(".")[0])
