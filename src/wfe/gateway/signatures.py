"""Signatures of webhooks, as Standard Webhooks has them (standardwebhooks.com, symmetric ``v1``). Pure.

``v1,base64(HMAC-SHA256(secret, id "." timestamp "." body))``; several signatures, and several secrets while one is
exchanged, are separated by blanks. Invariants: compared in constant time; a message outside the window is refused, so
that a copy cannot be played back later (within it, its id makes it count once).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping

from wfe.errors import WfeError
from wfe.limits import HOOK_WINDOW_S

PREFIX = "whsec_"
ID_CHARS_MAX = 150


class BadSignature(WfeError):
    """A webhook that nobody who knows the secret has sent just now."""

    code = "bad_signature"


def message_id(headers: Mapping[str, str]) -> str:
    """The sender's id of a message, the same when it is sent again; "" when there is none."""
    found = headers.get("webhook-id", "").strip()
    if len(found) > ID_CHARS_MAX:
        raise BadSignature(f"a webhook-id has at most {ID_CHARS_MAX} characters")
    return found


def verify(secrets: str, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
    """BadSignature unless one of the secrets signed this message within the window."""
    identity, stamp = message_id(headers), headers.get("webhook-timestamp", "").strip()
    given = headers.get("webhook-signature", "").split()
    if not (identity and stamp and given):
        raise BadSignature("a webhook carries webhook-id, webhook-timestamp and webhook-signature (Standard Webhooks)")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12):
        raise BadSignature("webhook-timestamp is not a number of seconds since 1970")
    if abs(now_s - int(stamp)) > HOOK_WINDOW_S:
        raise BadSignature(f"webhook-timestamp is more than {HOOK_WINDOW_S} s away from this host's clock")
    # A secret that is nothing but its prefix would let everybody sign.
    known = [secret for secret in secrets.split() if key_of(secret)]
    wanted = [sign(secret, identity, stamp, body).encode() for secret in known]
    # No early return: how long it takes says nothing.
    matches = [hmac.compare_digest(each.encode(), good) for each in given[:10] for good in wanted]
    if not any(matches):
        raise BadSignature("the signature does not fit: same secret on both sides, and the body as it was sent?")


def sign(secret: str, identity: str, stamp: str, body: bytes) -> str:
    """The signature of a message."""
    content = f"{identity}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key_of(secret), content, "sha256")).decode()


def key_of(secret: str) -> bytes:
    """The key in a secret: base64 behind ``whsec_``, else the text itself."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()
