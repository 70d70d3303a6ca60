"""Power loss on real LMDB: whatever the unsynced sectors do, everything acknowledged is recovered.

``WFE_CRASH_IMAGES`` sets how many images are tried (default 3,000).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from images import OPEN, RENAME, Recording

HERE = Path(__file__).parent
IMAGES = int(os.environ.get("WFE_CRASH_IMAGES", "3000"))
COMPILER = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or COMPILER is None, reason="the recorder is built by a C compiler, for Linux"
)


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("recorder") / "recorder.so"
    assert COMPILER is not None
    command = [COMPILER, "-shared", "-fPIC", "-O2", "-o", str(library), str(HERE / "recorder.c"), "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return library


def record(recorder: Path, place: Path, durability: str) -> Recording:
    """Run the workload under the recorder."""
    data, recording = place / "data", place / "recording"
    data.mkdir()
    environment = {
        **os.environ,
        "LD_PRELOAD": str(recorder),
        "WFE_RECORD_ROOT": f"{data}/",
        "WFE_RECORD_FILE": str(recording),
    }
    command = [sys.executable, str(HERE / "workload.py"), str(data), durability]
    subprocess.run(command, env=environment, check=True, timeout=120)
    return Recording(recording.read_bytes(), f"{data}/")


class Checker:
    """A process that recovers images; started again when an image ended it. One image is under way at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._under_way: tuple[str, Path] | None = None

    def submit(self, what: str, data: Path, acknowledged: list[dict[str, Any]]) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            command = [sys.executable, str(HERE / "checker.py")]
            process = self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        assert process.stdin is not None
        process.stdin.write(json.dumps({"data": str(data), "acknowledged": acknowledged, "epoch": 100}) + "\n")
        process.stdin.flush()
        self._under_way = (what, data)

    def result(self) -> list[str]:
        """What was wrong with the image under way, if there is one."""
        if self._under_way is None:
            return []
        (what, data), self._under_way = self._under_way, None
        assert self._process is not None
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if answer:
            problem = str(json.loads(answer))
        else:
            problem = f"the process that recovers it died with {self._process.wait()}"
            shutil.rmtree(data, ignore_errors=True)
        return [f"{what}: {problem}"] if problem else []

    def close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()


def violations(recording: Recording, images: int, scratch: Path, seed: int) -> tuple[int, list[str]]:
    """Try this many images, spread over all moments; how many were tried, and what was wrong with which."""
    moments = sum(1 for op in recording.steps() if op not in (OPEN, RENAME))
    recording.files.clear()
    recording.acknowledged.clear()
    choice = random.Random(seed)
    found: list[str] = []
    tried = 0
    checkers = [Checker(), Checker()]
    due = 0.0
    for step, op in enumerate(recording.steps()):
        if op in (OPEN, RENAME):
            continue
        due += images / moments
        while tried < due:
            image_seed = choice.getrandbits(32)
            target = scratch / f"image-{tried}"
            target.mkdir(parents=True)
            recording.write_image(target, image_seed)
            checker = checkers[tried % len(checkers)]
            found += checker.result()
            checker.submit(f"after operation {step}, seed {image_seed}", target, recording.acknowledged)
            tried += 1
    for checker in checkers:
        found += checker.result()
        checker.close()
    return tried, found


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """Where images are built: in memory if that is possible, since thousands of files are made and removed."""
    memory = Path("/dev/shm")
    base = memory if memory.is_dir() and os.access(memory, os.W_OK) else tmp_path
    with TemporaryDirectory(prefix="wfe-images-", dir=base) as made:
        yield Path(made)


def test_every_image_that_a_power_loss_can_leave_recovers_what_was_acknowledged(
    recorder: Path, tmp_path: Path, scratch: Path
):
    recording = record(recorder, tmp_path, "sync")
    tried, found = violations(recording, IMAGES, scratch, seed=1)
    print(f"power loss: {tried} images, {len(found)} violations")
    assert tried >= IMAGES
    assert not found, found[:5]
    assert sum(len(ack.get("started", ())) for ack in recording.acknowledged) > 40
    assert sum(len(ack.get("ended", ())) for ack in recording.acknowledged) > 40


def test_without_syncs_the_same_check_finds_losses(recorder: Path, tmp_path: Path, scratch: Path):
    recording = record(recorder, tmp_path, "none")
    tried, found = violations(recording, max(IMAGES // 10, 50), scratch, seed=2)
    print(f"power loss without syncs: {tried} images, {len(found)} violations")
    assert len(found) > tried // 4, "the control must fail, or the check can't see losses"
