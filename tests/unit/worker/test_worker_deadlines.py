"""The board on which a worker shows its deadlines to its parent."""

from __future__ import annotations

import pytest

from wfe.errors import DataError
from wfe.worker.deadlines import MARGIN_NS, SILENCE_NS, DeadlineBoard

NOW = 10**15


@pytest.fixture
def boards(tmp_path):
    parent = DeadlineBoard.create(tmp_path / "board", 4)
    worker = DeadlineBoard.open(tmp_path / "board")
    yield parent, worker
    worker.close()
    parent.close()


def test_the_parent_sees_what_the_worker_writes(boards):
    parent, worker = boards
    assert parent.slots == worker.slots == 4
    worker.set(2, NOW)
    assert parent.overrun(NOW + MARGIN_NS + 1) == [2]
    worker.clear(2)
    assert parent.overrun(NOW + MARGIN_NS + 1) == []


def test_the_worker_gets_a_margin_to_act_itself(boards):
    parent, worker = boards
    worker.beat(NOW)
    worker.set(0, NOW)
    assert not parent.stuck(NOW + MARGIN_NS)
    assert parent.stuck(NOW + MARGIN_NS + 1)


def test_a_silent_loop_alone_is_no_reason_to_kill(boards):
    parent, worker = boards
    assert parent.last_beat_ns() == 0
    worker.beat(NOW)
    assert not parent.stuck(NOW + 2 * SILENCE_NS)
    worker.set(3, NOW + 2 * SILENCE_NS + 5)
    assert not parent.stuck(NOW + 2 * SILENCE_NS)
    assert parent.stuck(NOW + 2 * SILENCE_NS + 6)


def test_the_loops_own_slot_follows_those_of_the_threads(boards):
    parent, worker = boards
    worker.set(worker.slots, NOW)
    assert parent.overrun(NOW + MARGIN_NS + 1) == [4]
    with pytest.raises(IndexError):
        worker.set(worker.slots + 2, NOW)


def test_a_file_that_is_no_board_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be opened"):
        DeadlineBoard.open(tmp_path / "missing")
    (tmp_path / "junk").write_bytes(b"12345")
    with pytest.raises(DataError, match="no deadline board"):
        DeadlineBoard.open(tmp_path / "junk")
    with pytest.raises(ValueError, match="slots"):
        DeadlineBoard.create(tmp_path / "none", 0)
