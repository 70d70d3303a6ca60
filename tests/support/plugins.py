"""Installs the example plugin as its users would, but into a directory of the test's own."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "plugins" / "wfe-table"
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


def install(directory: Path) -> Path:
    """Builds a wheel of the package and unpacks it there: on the module path it is an installed distribution."""
    command = [sys.executable, "-c", BUILD, str(directory)]
    built = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=True, timeout=60)
    wheel = directory / built.stdout.split()[-1]
    site = directory / "site"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    return site
