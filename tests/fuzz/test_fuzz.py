"""Every target takes its seeds, mutations of them, any bytes, and bombs: small inputs that ask for much."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from targets import BOMBS, TARGETS

EXAMPLES, EXAMPLES_SLOW = 300, 120
"""`make fuzz` tries far more; hypothesis and CI see to it that no target rots."""
HERE = Path(__file__).parent
BOMB_SECONDS = 60
"""Of processor time for all bombs on all targets; they take a few. A limit of the kernel, not a timed assertion."""
BOMB_BYTES = 2 << 30

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_whatever_is_made_of_its_seeds(name: str) -> None:
    target = TARGETS[name]
    mutants = st.builds(
        lambda seed, number: target.mutate(seed, Random(number)),
        st.sampled_from(target.seeds),
        st.integers(0, 2**64 - 1),
    )

    @settings(max_examples=EXAMPLES_SLOW if target.slow else EXAMPLES)
    @given(mutants | st.binary(max_size=200))
    def check(data: bytes) -> None:
        target.run(data)

    check()


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the kernel")
def test_no_bomb_takes_much_memory_or_time() -> None:
    script = (
        "import resource, sys; sys.path[:0] = sys.argv[1:3]\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({BOMB_BYTES}, {BOMB_BYTES}))\n"
        f"resource.setrlimit(resource.RLIMIT_CPU, ({BOMB_SECONDS}, {BOMB_SECONDS}))\n"
        "from targets import BOMBS, TARGETS\n"
        "for name, target in TARGETS.items():\n"
        "    for bomb, data in BOMBS.items():\n"
        "        print(name, bomb, flush=True)\n"
        "        target.run(data)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(HERE.parent), str(HERE)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    )
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0, f"{last}: {done.stderr[-2_000:]}"
    assert len(done.stdout.splitlines()) == len(TARGETS) * len(BOMBS)
