"""Keys, tags and priorities that make no sense are refused at the call, and never hold up other starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from msgspec import Raw

from support.fake_front import FakeFront
from wfe.client import AsyncClient, Client, aconnect_with, args, connect_with
from wfe.client.starts import Spread
from wfe.errors import InvalidInput, WfeError
from wfe.limits import KEY_CHARS_MAX, NAME_CHARS_MAX, TAG_CHARS_MAX, TAGS_MAX
from wfe.wire.messages import StartRun
from wfe.wire.payload import encode_value

WRONG_KEYS: list[Any] = [5, b"k", ["k"], 1.5, object(), "k" * (KEY_CHARS_MAX + 1), "k\ud800"]
WRONG_TAGS: list[Any] = [
    5,
    "a=b",
    ["a"],
    {"a": 5},
    {5: "a"},
    {"a": None},
    {"a": "\ud800"},
    {"\udfff": "a"},
    {"a": "x" * (TAG_CHARS_MAX + 1)},
    {str(n): "" for n in range(TAGS_MAX + 1)},
]
WRONG_PRIORITIES: list[Any] = ["1", 1.5, None, True, 1 << 70, object()]


@pytest.fixture
def front() -> FakeFront:
    return FakeFront()


@pytest.fixture
async def client(front: FakeFront) -> AsyncIterator[AsyncClient]:
    async with aconnect_with(front.link, "tcp://fake", "secret", request_timeout_s=20) as client:
        yield client


@pytest.fixture
def sync_client(front: FakeFront) -> Iterator[Client]:
    with connect_with(front.link, "tcp://fake", "secret") as client:
        yield client


async def refused(call: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as found:
        await asyncio.wait_for(call, 10)
    assert found.value.path == path


async def test_a_start_with_labels_of_the_wrong_kind_is_refused_at_once(client: AsyncClient) -> None:
    for key in WRONG_KEYS:
        await refused(client.start("hello", 1, key=key), "key")
    for tags in WRONG_TAGS:
        await refused(client.start("hello", 1, tags=tags), "tags")
        await refused(client.start_many("hello", [1], tags=tags), "tags")
    for priority in WRONG_PRIORITIES:
        await refused(client.start("hello", 1, priority=priority), "priority")
        await refused(client.start_many("hello", [1], priority=priority), "priority")
    assert await (await client.start("hello", 1, key="fine é", tags={"a": "ü"}, priority=-3)).result() == 1


async def test_a_run_is_not_looked_for_by_a_key_that_is_none(client: AsyncClient) -> None:
    for key in [*WRONG_KEYS, None]:
        await refused(client.find("hello", key), "key")
        await refused(client.signal("hello", key, "go"), "key")
        await refused(client.signal("hello", key, "go", start=args(1)), "key")
    await refused(client.list(key=WRONG_KEYS[0]), "key")


async def test_a_start_that_is_encoded_already_is_checked_as_well(client: AsyncClient) -> None:
    await refused(client.submit("hello", 0, StartRun("", encode_value(1), 5)), "key")  # type: ignore[arg-type]


async def test_a_workflow_whose_name_cannot_travel_is_refused(client: AsyncClient) -> None:
    for name in ("a\ud800", "a" * (NAME_CHARS_MAX + 1)):
        await refused(client.start(name), "workflow")


def test_the_sync_client_refuses_at_once_too(sync_client: Client) -> None:
    for key in WRONG_KEYS:
        for call in (
            lambda key=key: sync_client.start("hello", 1, key=key),
            lambda key=key: sync_client.find("hello", key),
            lambda key=key: sync_client.signal("hello", key, "go"),
        ):
            with pytest.raises(InvalidInput) as found:
                call()
            assert found.value.path == "key"
    assert sync_client.start("hello", 2, key="k").result(10) == 2


async def test_a_start_that_cannot_be_sent_ends_alone(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong with one of those that leave together, the others leave, each once."""
    mint = Spread.mint

    def fragile(self: Spread, workflow: str, runs: Any, *rest: Any) -> None:
        if any(run.key == "poison" for run in runs):
            raise AttributeError("a defect")
        mint(self, workflow, runs, *rest)

    monkeypatch.setattr(Spread, "mint", fragile)
    starts = [client.start("hello", n, key="poison" if n == 1 else f"k{n}") for n in range(3)]
    first, bad, last = await asyncio.wait_for(asyncio.gather(*starts, return_exceptions=True), 10)
    assert isinstance(bad, WfeError)
    assert "cannot be sent" in str(bad)
    assert "a defect" in str(bad)
    assert not isinstance(first, BaseException)
    assert not isinstance(last, BaseException)
    assert [await first.result(), await last.result()] == [0, 2]


async def test_a_start_without_an_encoding_leaves_the_frame_to_the_others(
    front: FakeFront, client: AsyncClient
) -> None:
    good = [StartRun("", encode_value(n), "", 0, {}) for n in range(2)]
    bad = StartRun("", Raw(b"\x01"), "", 1 << 70, {})
    batch = await asyncio.wait_for(client._open().start("hello", 0, [good[0], bad, good[1]]), 10)
    assert isinstance(batch.errors.pop(1), InvalidInput)
    assert batch.errors == {}
    assert {run.run_id for run in good} == set(front.views)
