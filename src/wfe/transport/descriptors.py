"""How many files and sockets this process may still open. May ask the system; opens nothing that it does not close."""

from __future__ import annotations

import os
import sys

if sys.platform != "win32":
    import resource

_LISTING = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"


def descriptors_left() -> int:
    """How many more descriptors the system gives to this process; a large number where that is not known."""
    if sys.platform == "win32":
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    try:
        return max(0, limit - len(os.listdir(_LISTING)))
    except OSError:  # not even the listing could be opened
        return 0


def raise_descriptor_limit() -> None:
    """Takes as many as the system allows: strangers who connect must not use up what shards and workers need."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS says "unlimited" and means less
            return
