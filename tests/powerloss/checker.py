"""Checks images in a process of its own: a damaged file may end a process, which is a finding, not the end of the test.

Reads lines of JSON from standard input: {"data": ..., "acknowledged": [...], "epoch": ...}; answers each with one line.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.powerloss import violation


def main() -> None:
    for line in sys.stdin:
        image = json.loads(line)
        data = Path(image["data"])
        print(json.dumps(violation(data, image["acknowledged"], image["epoch"])), flush=True)
        shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
