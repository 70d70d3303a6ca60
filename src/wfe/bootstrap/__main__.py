"""``python -m wfe.bootstrap ROLE``: a child process, with its options as one line of JSON on standard input."""

from __future__ import annotations

import sys

from wfe.bootstrap.roles import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
