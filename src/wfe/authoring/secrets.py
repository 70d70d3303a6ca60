"""`secret`: a named secret. In a graph it stays a name, and the worker puts the value in; elsewhere it is read."""

from __future__ import annotations

from typing import cast

from wfe.authoring.current import current_canvas
from wfe.authoring.refs import SecretProxy
from wfe.authoring.retry import mistake


def secret(name: str) -> str:
    """The value of a secret, from the environment or the secrets directory; in a drawing a stand-in for it."""
    if not isinstance(name, str) or not name:
        raise mistake(f"wfe.secret takes the name of a secret as text, not {name!r}")
    canvas = current_canvas()
    if canvas is not None:
        return cast(str, SecretProxy(canvas, name))
    from wfe.config import read_secret

    return read_secret(name)
