"""`secret`: a named secret. In a workflow it stays a name, and the worker puts the value in; elsewhere it is read."""

from __future__ import annotations

from typing import cast

from wfe.authoring.current import current_canvas
from wfe.authoring.refs import SecretProxy
from wfe.authoring.retry import mistake
from wfe.model.calling import CALLER
from wfe.model.registered import SECRET_KEY


def secret(name: str) -> str:
    """The value of a secret, from the environment or the secrets directory; in a workflow a stand-in for it."""
    if not isinstance(name, str) or not name:
        raise mistake(f"wfe.secret takes the name of a secret as text, not {name!r}")
    canvas = current_canvas()
    if canvas is not None:
        return cast(str, SecretProxy(canvas, name))
    if CALLER.get() is not None:  # an argument of a call is recorded: the worker of the task puts the value in
        return cast(str, {SECRET_KEY: name})
    from wfe.secrets import read_secret

    return read_secret(name)
