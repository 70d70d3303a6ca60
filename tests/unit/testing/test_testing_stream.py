"""What runs publish can be read while they go on."""

from __future__ import annotations

import wfe
from wfe.testing import Env


@wfe.workflow
async def counting(wf: wfe.Durable, upto: int) -> int:
    for number in range(upto):
        wf.publish({"number": number})
        await wf.sleep("1m")
    return upto


@wfe.workflow
def telling(wf: wfe.Graph, word: str) -> str:
    wf.emit("told", {"word": word})
    return word


def test_a_stream_has_what_the_function_published_so_far() -> None:
    with Env() as env:
        run = env.start(counting, 3)
        env.skip("61s")
        assert run.stream() == [{"number": 0}, {"number": 1}]
        assert run.result() == 3
        assert [value["number"] for value in run.stream()] == [0, 1, 2]


def test_a_stream_of_a_graph_has_what_it_emitted() -> None:
    with Env() as env:
        run = env.start(telling, "hello")
        assert run.result() == "hello"
        assert run.stream() == [{"type": "told", "data": {"word": "hello"}}]
