"""Run ids carry their partition and their start time; partitions and child ids are stable hashes.

A run id is 26 characters of lower-case Crockford base32: partition (10 bits, the first two characters), start time in
ms since 1970 (50 bits, ten characters), random or derived bits (70, fourteen characters). Ids sort by partition, then
time, so that lists and LMDB keys are in time order within a partition.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from wfe.limits import PARTITIONS_MAX

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
RUN_ID_CHARS = 26
_TO_PYTHON = str.maketrans(ALPHABET, "0123456789abcdefghijklmnopqrstuv")
"""Python's digits of base 32 instead of Crockford's, so that `int` reads them."""
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
PARTITION_OF_PREFIX: dict[str, int] = {pair: i for i, pair in enumerate(_PAIRS)}
RANDOM_BITS = 70

assert len(_PAIRS) == PARTITIONS_MAX


def _encode(value: int, chars: int) -> str:
    pairs = []
    for _ in range(chars // 2):
        value, low = divmod(value, 1024)
        pairs.append(_PAIRS[low])
    return "".join(reversed(pairs))


def mint_run_id(partition: int, time_ms: int, random_bits: int) -> str:
    """A run id from its parts; ``random_bits`` is any non-negative integer, of which 70 bits are used."""
    # Written out, as a client that starts a million runs mints a million: a loop takes two and a half times as long.
    pairs, high, low = _PAIRS, random_bits >> 40, random_bits & 0xFF_FFFF_FFFF
    return (
        f"{pairs[partition]}{time_text(time_ms)}{pairs[high >> 20 & 1023]}{pairs[high >> 10 & 1023]}"
        f"{pairs[high & 1023]}{pairs[low >> 30]}{pairs[low >> 20 & 1023]}{pairs[low >> 10 & 1023]}{pairs[low & 1023]}"
    )


@lru_cache(maxsize=16)
def time_text(time_ms: int) -> str:
    """A start time as run ids hold it; many are minted in one millisecond."""
    return _encode(time_ms, 10)


def partition_of(run_id: str) -> int:
    """The partition in a run id. KeyError when the id is malformed: check ids from outside with `is_run_id`."""
    return PARTITION_OF_PREFIX[run_id[:2]]


def time_of(run_id: str) -> int:
    """The start time in a run id, in ms since 1970."""
    return int(run_id[2:12].translate(_TO_PYTHON), 32)


def is_run_id(text: object) -> bool:
    """Whether the text has the shape of a run id."""
    return isinstance(text, str) and len(text) == RUN_ID_CHARS and not text.strip(ALPHABET)


def _hash(*parts: str) -> int:
    digest = blake2b(digest_size=16)
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return int.from_bytes(digest.digest(), "big")


def partition_of_key(namespace: str, workflow: str, key: str, partitions: int) -> int:
    """The partition that a start with a key goes to: a stable hash, so that equal keys meet."""
    return _hash("key", namespace, workflow, key) % partitions


def child_run_id(
    parent: str,
    node: int,
    activation: int,
    partitions: int,
    time_ms: int,
    partition: int | None = None,
    *,
    round: int = 0,
) -> str:
    """The id of a sub-workflow's run: derived from its place, so that a repeated start names the same run.

    ``partition``: where a key puts it; None: anywhere. ``round``: of the parent; a later one wants another child.
    """
    value = _hash("child", parent, str(node), str(activation), *([str(round)] if round else []))
    where = (value >> RANDOM_BITS) % partitions if partition is None else partition
    return mint_run_id(where, time_ms, value)


def lock_name(namespace: str, name: str, key: str) -> str:
    """A lock that all runs of a namespace share, as one text."""
    return "\x1f".join((namespace, name, key))


def lock_address(lock: str, partitions: int) -> str:
    """Where mail about such a lock goes: an id of its own, in the shape of a run's, in the partition that owns it."""
    value = _hash("lock", lock)
    return mint_run_id((value >> RANDOM_BITS) % partitions, 0, value)


def task_key(run_id: str, node_id: str, activation: int) -> str:
    """The users' idempotency key: the same for every attempt of one activation."""
    return f"{run_id}/{node_id}/{activation}"
