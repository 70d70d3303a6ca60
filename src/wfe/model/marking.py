"""The state of an open net: where its tokens are. Part of `state.RunState`; only evolve writes it.

``array_like``: fields are only appended, with a default. Nodes are named by position, edges by their number in the net
(`core.nets.shape`), firings by activation.
"""

from __future__ import annotations

from msgspec import Struct


class Round(Struct, array_like=True):
    """Of an n-join: the edges that brought a token (a set; the values mean nothing), and whether it has fired."""

    seen: dict[int, int]
    fired: bool = False


class Marking(Struct, array_like=True):
    """An open net. ``net``: its number in the plan."""

    net: int
    tokens: dict[int, int] = {}
    """Edge -> tokens that wait on it; without those of n-joins' open rounds, which are ``seen`` in `Round`."""
    filled: dict[int, int] = {}
    """Node with an and-join or an or-join -> how many edges into it hold tokens."""
    rounds: dict[int, Round] = {}
    joined: list[tuple[int, int]] = []
    """Tokens behind joins that have not begun a firing yet, oldest first: (node, choice; -1: of none)."""
    held: list[tuple[int, int]] = []
    """Those whose node was not enabled when they came."""
    firings: dict[int, int] = {}
    """Activation -> node."""
    active: dict[int, int] = {}
    """Node -> how many of its firings are active."""
    done: dict[int, int] = {}
    """Node -> how many of its firings have ended."""
    choices: dict[int, int] = {}
    """Activation of a firing that is one of a deferred choice -> the choice: the activation that left it open."""
    boundaries: dict[int, int] = {}
    """Activation -> number of the boundary timer that counts."""
    lingering: dict[int, int] = {}
    """Activation -> node, of firings whose tokens have left while items of their map go on."""
