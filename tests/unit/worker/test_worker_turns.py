"""What a worker says of turns of durable functions, frame by frame."""

import msgspec

from support.worker_engine import Engine, result, spec
from wfe.model.durable import NEED_ALL
from wfe.wire.frames import Kind


def test_that_a_turn_has_no_coroutine_is_not_presented_anew():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"), spec("b"))
    engine.end(msgspec.structs.replace(result("a"), status=NEED_ALL), result("b"))
    engine.take(Kind.RESULTS)
    engine.receive(0, Kind.REJECT)
    (presented,) = engine.take(Kind.RESULTS)
    assert [each.run_id for each in presented.results] == ["b"]
