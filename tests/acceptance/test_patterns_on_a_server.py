"""All 43 workflow patterns on a real server with two shards: every case of the catalogue, from YAML and from Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wfe
from conftest import Server
from patterns.pattern_catalogue import PATTERNS
from patterns.pattern_model import Player
from patterns.pattern_playing import TASKS, Play, each
from wfe.model.ids import partition_of

TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server]) -> Server:
    return start_server("--shards", "2", "--workers", "1", "--log-level", "error", "--app", TASKS)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with wfe.connect(server.address, (server.data / "token").read_text().strip()) as client:
        client.deploy(*(form for pattern in PATTERNS for form, _ in pattern.forms().values()))
        yield client


def until(ready: Callable[[], bool], hint: Callable[[], str]) -> None:
    """Asks until it is so: what a run does by itself has no end that somebody could be told of."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not ready():
        assert time.monotonic() < deadline_s, hint()
        time.sleep(0.005)


@each(PATTERNS)
def test_the_pattern_holds(client: Any, play: Play) -> None:
    assert Player(until).play(play.case, client.start(play.workflow, *play.arguments))


def test_both_shards_have_taken_part(client: Any) -> None:
    """Runs without a key go to any partition; those of a recursion are spread as well."""
    for run in [client.start("recursion", 4) for _ in range(8)]:
        assert run.result(timeout_s=TIMEOUT_S) == 5
    found = {partition_of(run.id) for run in client.list(limit=1000)}
    shards = client.status().shards
    assert len(shards) == 2
    assert all(found & set(shard.partitions) for shard in shards)
