"""Coverage-guided fuzzing with atheris: ``python fuzz.py [--seconds N] [TARGET ...]``; `make fuzz` calls it.

Each target runs in a process of its own for a bounded time, from the seeds and the corpus that earlier runs left in
``.fuzz/TARGET``. What breaks a target is kept there as ``crash-*``, and ``python fuzz.py TARGET FILE`` shows it again.
Without atheris (an optional dependency, ``pip install atheris``) it says so and ends with success.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parent.parent / ".fuzz"
INPUT_BYTES_MAX = 1 << 16
ONE_INPUT_SECONDS = 20
MEMORY_MIB = 2048
sys.path[:0] = [str(HERE.parent), str(HERE)]


def fuzz_one(name: str, seconds: int) -> None:
    """In the target's own process: libFuzzer takes over and ends it."""
    import atheris

    with atheris.instrument_imports(include=["wfe"]):
        from targets import TARGETS
    target = TARGETS[name]
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (corpus / sha256(seed).hexdigest()[:16]).write_bytes(seed)

    def mutate(data: bytes, size_max: int, number: int) -> bytes:
        """Half of the time as the target's inputs are built, else as libFuzzer does it."""
        random = Random(number)
        if random.random() < 0.5:
            return target.mutate(bytes(data), random)[:size_max]
        return bytes(atheris.Mutate(data, size_max))

    flags = [f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}", f"-timeout={ONE_INPUT_SECONDS}"]
    flags += [f"-rss_limit_mb={MEMORY_MIB}", f"-artifact_prefix={corpus}/", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], target.run, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> int:
    from targets import TARGETS

    parser = argparse.ArgumentParser(description="Coverage-guided fuzzing of every decoder.")
    parser.add_argument("--seconds", type=int, default=10, help="for each target")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(TARGETS)}; or one of them and a file to show again")
    options = parser.parse_args()
    names = options.names or list(TARGETS)
    if len(names) == 2 and names[1] not in TARGETS:
        TARGETS[names[0]].run(Path(names[1]).read_bytes())
        print(f"{names[0]} takes {names[1]}")
        return 0
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        print("skipped: atheris is not installed (pip install atheris; it exists for Linux and macOS)")
        return 0
    if options.one:
        fuzz_one(names[0], options.seconds)
        return 0
    broken = []
    for name in names:
        command = [sys.executable, __file__, "--one", "--seconds", str(options.seconds), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        runs = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(f"{name}: {(runs or ['?'])[-1]} inputs, {'ok' if done.returncode == 0 else 'BROKEN'}", flush=True)
        if done.returncode:
            broken.append(name)
            print(done.stdout[-3_000:], done.stderr[-3_000:], sep="\n", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
