"""The async and the sync client over a faked server: inputs, typed results, errors, handles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from support.fake_front import FakeFront, decode
from wfe.client import AsyncClient, Client, aconnect_with, args, connect_with
from wfe.client.views import event_document, rfc3339, run_document
from wfe.errors import Disconnected, InvalidInput, RunCancelled, RunFailed, Unauthorized, UnknownRun, UnknownWorkflow
from wfe.model.definition import Definition
from wfe.model.policy import ErrorInfo
from wfe.model.registered import RegisteredWorkflow
from wfe.wire.frames import Kind
from wfe.wire.messages import ErrorReply, HistoryEvent, StartRun
from wfe.wire.payload import encode_value


class Order(msgspec.Struct):
    id: str
    total: int = 0


class Receipt(msgspec.Struct):
    id: str


def checkout(wf: Any, order: Order) -> Receipt: ...


def transfer(wf: Any, source: str, target: str, amount: int = 1) -> None: ...


def registered(function: Any) -> Any:
    function.__wfe_workflow__ = RegisteredWorkflow(function.__name__, None, function, "graph", __file__, 1)
    return function


registered(checkout)
registered(transfer)


@pytest.fixture
def front() -> FakeFront:
    front = FakeFront()
    front.workflows |= {"checkout", "transfer"}
    return front


@pytest.fixture
async def client(front: FakeFront) -> AsyncIterator[AsyncClient]:
    async with aconnect_with(front.link, "tcp://fake", "secret", request_timeout_s=20) as client:
        yield client


@pytest.fixture
def sync_client(front: FakeFront) -> Iterator[Client]:
    with connect_with(front.link, "tcp://fake", "secret") as client:
        yield client


def inputs(front: FakeFront) -> list[Any]:
    bodies = [body for kind, _, body in front.seen if kind is Kind.START]
    return [decode(bytes(run.input), Any) for body in bodies for run in decode(body, list[StartRun])]


async def test_a_typed_result_comes_back_in_the_workflows_return_type(front: FakeFront, client: AsyncClient) -> None:
    front.run = lambda name, value: ("completed", {"id": value["id"]}, None)
    run = await client.start(checkout, Order("o-1", 5))
    assert await run.result() == Receipt("o-1")
    assert inputs(front) == [{"id": "o-1", "total": 5}]


async def test_a_workflow_by_name_takes_and_gives_plain_values(front: FakeFront, client: AsyncClient) -> None:
    run = await client.start("hello@3", {"a": [1]})
    assert await run.result(timeout_s=5) == {"a": [1]}
    assert [(head.workflow, head.version) for head in front.sent(Kind.START)] == [("hello", 3)]


async def test_several_parameters_become_an_object_by_name(front: FakeFront, client: AsyncClient) -> None:
    await client.start(transfer, "a", target="b")
    await client.start("transfer", source="a", target="b")
    await client.start(transfer, args("a", "b", amount=3))
    assert inputs(front) == [{"source": "a", "target": "b"}] * 2 + [{"source": "a", "target": "b", "amount": 3}]


async def test_a_call_that_does_not_fit_never_leaves(front: FakeFront, client: AsyncClient) -> None:
    for call in ((transfer, "a"), (checkout, 1, 2), ("hello", 1, 2), (print,), ("@1", 1), (checkout, object())):
        with pytest.raises(InvalidInput):
            await client.start(*call)
    assert front.sent(Kind.START) == []


async def test_start_many_keeps_the_order_of_the_items(front: FakeFront, client: AsyncClient) -> None:
    runs = await client.start_many("hello", range(500))
    assert await asyncio.gather(*(run.result() for run in runs)) == list(range(500))
    assert await client.start_many("hello", []) == []


async def test_start_many_takes_args_per_item(front: FakeFront, client: AsyncClient) -> None:
    await client.start_many(transfer, [args("a", "b"), args(source="c", target="d", amount=2)])
    assert inputs(front) == [{"source": "a", "target": "b"}, {"source": "c", "target": "d", "amount": 2}]


async def test_concurrent_starts_of_one_turn_share_frames(front: FakeFront, client: AsyncClient) -> None:
    runs = await asyncio.gather(*(client.start("hello", number) for number in range(32)))
    assert len(front.sent(Kind.START)) <= 4
    assert [await run.result() for run in runs] == list(range(32))


async def test_a_failed_run_raises_with_its_error(front: FakeFront, client: AsyncClient) -> None:
    error = ErrorInfo("CardDeclined", "no funds", "charge", 3, types=("CardDeclined", "PaymentError"))
    front.run = lambda name, value: ("failed", None, error)
    run = await client.start(checkout, Order("o-1"))
    with pytest.raises(RunFailed) as caught:
        await run.result()
    assert caught.value.error == error
    assert caught.value.caused_by("PaymentError")
    assert not caught.value.caused_by(KeyError)
    assert "no funds" in str(caught.value)
    assert caught.value.run_id == run.id


async def test_a_cancelled_run_raises(front: FakeFront, client: AsyncClient) -> None:
    front.run = lambda name, value: ("cancelled", None, None)
    with pytest.raises(RunCancelled):
        await (await client.start("hello", 1)).result()


async def test_a_result_that_takes_too_long_is_a_timeout_and_the_run_goes_on(
    front: FakeFront, client: AsyncClient
) -> None:
    front.run = lambda name, value: None
    run = await client.start("hello", 1)
    with pytest.raises(TimeoutError, match="it goes on"):
        await run.result(timeout_s=0.01)
    assert await run.status() == "running"


async def test_an_unknown_workflow_is_refused(client: AsyncClient) -> None:
    with pytest.raises(UnknownWorkflow):
        await client.start("nobody", 1)
    with pytest.raises(UnknownWorkflow):
        await client.start_many("nobody", [1, 2])


async def test_get_and_find_give_handles_with_typed_results(front: FakeFront, client: AsyncClient) -> None:
    front.run = lambda name, value: ("completed", {"id": "r"}, None)
    run = await client.start(checkout, Order("o-1"), key="k-1")
    found = await client.find(checkout, "k-1")
    assert found.id == run.id
    assert found.info is not None
    assert found.info.key == "k-1"
    assert await found.result() == Receipt("r")
    again = await client.get(run.id)
    assert await again.result() == {"id": "r"}
    with pytest.raises(UnknownRun):
        await client.find(checkout, "k-2")
    with pytest.raises(UnknownRun):
        await client.get("nonsense")


async def test_a_list_merges_all_partitions_newest_first(front: FakeFront, client: AsyncClient) -> None:
    ids = [(await client.start("hello", number)).id for number in range(12)]
    runs = await client.list(workflow="hello", limit=10)
    newest_first = sorted(ids, key=lambda run_id: run_id[2:], reverse=True)
    assert [run.id for run in runs] == newest_first[:10]
    assert runs.more
    assert runs.incomplete == []


async def test_a_list_goes_on_behind_its_cursor_until_the_last_run(front: FakeFront, client: AsyncClient) -> None:
    ids = [(await client.start("hello", number)).id for number in range(12)]
    pages, cursor = [], ""
    while not pages or cursor:
        page = await client.list(workflow="hello", limit=5, after=cursor)
        pages.append([run.id for run in page])
        cursor = page.cursor
    assert [len(page) for page in pages] == [5, 5, 2]
    assert sorted(run_id for page in pages for run_id in page) == sorted(ids)
    with pytest.raises(InvalidInput, match="cursor"):
        await client.list(after="nowhere")


async def test_a_list_names_the_partitions_that_cannot_be_asked(front: FakeFront, client: AsyncClient) -> None:
    front.errors[Kind.LIST] = [ErrorReply("unavailable", "restarting", retry_after_ms=1)]
    assert (await client.list()).incomplete == [0]


async def test_controls_and_signals_carry_ids_of_their_own(front: FakeFront, client: AsyncClient) -> None:
    front.run = lambda name, value: None
    run = await client.start("hello", 1)
    await run.pause()
    await run.resume()
    await run.cancel(compensate=False)
    await run.signal("manager", {"approved": True}, event_id="e-1")
    await run.signal("manager")
    assert [control.action for control in front.controls] == ["pause", "resume", "cancel"]
    assert len({control.command_id for control in front.controls}) == 3
    assert not front.controls[2].compensate
    assert front.signals[0].event_id == "e-1"
    assert decode(bytes(front.signals[0].payload), Any) == {"approved": True}
    assert front.signals[1].event_id


async def test_a_signal_by_key_starts_the_run_if_there_is_none(front: FakeFront, client: AsyncClient) -> None:
    front.run = lambda name, value: None
    with pytest.raises(UnknownRun):
        await client.signal(checkout, "k", "manager", 1)
    first = await client.signal(checkout, "k", "manager", 1, start=args(Order("o-1")))
    second = await client.signal(checkout, "k", "manager", 2, start=args(Order("o-2")))
    assert first.id == second.id
    assert [signal.run_id for signal in front.signals] == [first.id] * 2
    assert inputs(front) == [{"id": "o-1", "total": 0}]


async def test_history_is_a_list_or_a_stream(front: FakeFront, client: AsyncClient) -> None:
    run = await client.start("hello", 1)
    front.events[run.id] = [
        HistoryEvent(seq, 1_700_000_000_000, "TaskReady", "a", 1, 1, encode_value({"n": seq})) for seq in range(1, 4)
    ]
    assert [item.seq for item in await run.history()] == [1, 2, 3]
    followed = [item async for item in run.history(follow=True)]
    assert [item.data for item in followed] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert event_document(followed[0])["time"] == "2023-11-14T22:13:20.000Z"


async def test_deploy_takes_definitions(client: AsyncClient) -> None:
    deployed = await client.deploy(Definition("fresh"))
    assert [(each.workflow, each.version, each.changed) for each in deployed] == [("fresh", 1, True)]
    await client.start("fresh")
    assert (await client.status()).state == "serving"


async def test_no_server_is_disconnected_and_says_what_to_do(front: FakeFront) -> None:
    front.deaf = True
    with pytest.raises(Disconnected, match="wfe serve"):
        await aconnect_with(front.link, "tcp://fake", "secret", connect_timeout_s=0.05).open()


async def test_a_wrong_token_is_unauthorized(front: FakeFront) -> None:
    with pytest.raises(Unauthorized):
        await aconnect_with(front.link, "tcp://fake", "wrong").open()


async def test_a_token_that_a_starting_server_leaves_late_is_found(
    front: FakeFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WFE_TOKEN", raising=False)
    tokens = iter(["", "stale"])
    monkeypatch.setattr("wfe.client.aclient.find_token", lambda address: next(tokens, "secret"))
    async with aconnect_with(front.link, "tcp://fake") as client:
        assert (await client.status()).state == "serving"
    assert len(front.sent(Kind.HELLO)) == 3


async def test_a_token_that_is_never_right_is_unauthorized_in_the_end(
    front: FakeFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WFE_TOKEN", raising=False)
    monkeypatch.setattr("wfe.client.aclient.find_token", lambda address: "stale")
    with pytest.raises(Unauthorized):
        await aconnect_with(front.link, "tcp://fake", connect_timeout_s=0.1).open()


async def test_a_closed_client_says_so(front: FakeFront) -> None:
    front.run = lambda name, value: None
    client = await aconnect_with(front.link, "tcp://fake", "secret").open()
    run = await client.start("hello", 1)
    waiting = asyncio.ensure_future(run.result())
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(Disconnected):
        await waiting
    with pytest.raises(Disconnected):
        await client.start("hello", 1)


def test_the_address_comes_from_the_argument_then_the_environment(
    front: FakeFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WFE_ADDRESS", "tcp://elsewhere:1")
    assert aconnect_with(front.link).address == "tcp://elsewhere:1"
    assert aconnect_with(front.link, "tcp://here:2").address == "tcp://here:2"
    monkeypatch.delenv("WFE_ADDRESS")
    assert aconnect_with(front.link).address == "tcp://127.0.0.1:7700"


def test_the_sync_client_does_the_same(front: FakeFront, sync_client: Client) -> None:
    run = sync_client.start("hello", 41, key="k")
    assert run.result(timeout_s=5) == 41
    assert run.status() == "completed"
    assert sync_client.get(run.id).id == sync_client.find("hello", "k").id == run.id
    assert [each.id for each in sync_client.list()] == [run.id]
    assert [each.result() for each in sync_client.start_many("hello", [1, 2])] == [1, 2]
    front.events[run.id] = [HistoryEvent(1, 1, "RunStarted")]
    assert [item.type for item in sync_client.handle(run.id).history(follow=True)] == ["RunStarted"]
    assert run_document(sync_client.view(run.id))["output"] == 41


def test_a_sync_client_that_cannot_connect_leaves_no_thread(front: FakeFront) -> None:
    import threading

    front.deaf = True
    before = threading.active_count()
    with pytest.raises(Disconnected):
        connect_with(front.link, "tcp://fake", "secret", connect_timeout_s=0.05)
    assert threading.active_count() == before


def test_a_closed_sync_client_says_so(front: FakeFront) -> None:
    client = connect_with(front.link, "tcp://fake", "secret")
    client.close()
    client.close()
    with pytest.raises(Disconnected):
        client.start("hello", 1)


def test_times_are_rfc_3339_or_nothing() -> None:
    assert rfc3339(0) is None
    assert rfc3339(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
