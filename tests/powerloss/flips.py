"""Tries data directories with one flipped bit, in a process of its own: a damaged page may end a process.

``flips.py BASE SCRATCH`` reads lines of JSON {"file", "offset", "bit"} and answers each with {"findings", "recovered"}:
what `wfe verify` names, and what a shard's recovery makes of it: "same", "other ..." (wrong data) or "refused ...".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from msgspec import msgpack

from support.powerloss import LmdbHost, definitions, state_of
from wfe.errors import WfeError
from wfe.lmdb.verify import verify_tree
from wfe.model.ids import partition_of


def contents(data: Path, runs: list[str]) -> dict[str, str]:
    """What a shard knows of each run after its recovery: state and history, as one digest."""
    host = LmdbHost(data, "none", definitions(), 1)
    try:
        return {run_id: _known(host, run_id) for run_id in runs}
    finally:
        with contextlib.suppress(WfeError):
            host.close()


def _known(host: Any, run_id: str) -> str:
    digest = hashlib.blake2b(msgpack.encode(state_of(host, run_id)))
    partition = host.shard.core.partitions[partition_of(run_id)]
    if run_id not in partition.entries:
        for seq, chunk in host.shard.core.disk.stores[partition.number].history(run_id):
            digest.update(b"%d" % seq + chunk)
    return digest.hexdigest()


def attempt(base: Path, scratch: Path, flip: dict[str, Any], runs: list[str], known: dict[str, str]) -> dict[str, Any]:
    """One flip: what the checks name, then what recovery makes of it."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(base, scratch)
    with (scratch / flip["file"]).open("r+b") as file:
        file.seek(flip["offset"])
        byte = file.read(1)[0]
        file.seek(flip["offset"])
        file.write(bytes([byte ^ 1 << flip["bit"]]))
    findings = [finding.record for finding in verify_tree(scratch, 1).findings]
    print(json.dumps({"findings": findings}), flush=True)
    try:
        found = contents(scratch, runs)
    except (WfeError, AssertionError, KeyError, OSError) as error:
        return {"recovered": f"refused {type(error).__name__}: {error}"}
    other = [run_id for run_id in runs if found[run_id] != known[run_id]]
    return {"recovered": f"other {other[:3]}" if other else "same"}


def main(base: Path, scratch: Path) -> None:
    acknowledged = [json.loads(line) for line in (base / "acks").read_text().splitlines()]
    runs = sorted({run_id for ack in acknowledged for run_id in (*ack.get("started", ()), *ack.get("ended", {}))})
    shutil.copytree(base, scratch)
    known = contents(scratch, runs)
    for line in sys.stdin:
        print(json.dumps(attempt(base, scratch, json.loads(line), runs, known)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
