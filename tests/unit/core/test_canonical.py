from __future__ import annotations

import msgspec
import pytest

from wfe.core.canonical import HASH_CHARS, canonical, decode, definition_hash
from wfe.model.definition import Definition, End, Map, Set, Task
from wfe.model.policy import RetryPolicy


def flow(**changes: object) -> Definition:
    fields = {"workflow": "flow", "nodes": (Set(id="a", value=1),), **changes}
    return Definition(**fields)  # type: ignore[arg-type]


def test_the_version_is_not_part_of_the_graph():
    assert canonical(flow(version=3)) == canonical(flow())
    assert b"version" not in canonical(flow(version=3))


def test_the_order_of_keys_does_not_matter_but_the_order_of_parameters_does():
    assert definition_hash(flow(output={"a": 1, "b": 2})) == definition_hash(flow(output={"b": 2, "a": 1}))
    one, other = {"x": {}, "y": {}}, {"y": {}, "x": {}}
    assert definition_hash(flow(params=one)) != definition_hash(flow(params=other))
    assert list(decode(canonical(flow(params=other))).params) == ["y", "x"]


def test_defaults_that_are_written_out_change_nothing():
    # Not the constants of the class: defaults are compared by value, as they come back from a text.
    retry = RetryPolicy(backoff=float("2"), jitter=float("0.1"), max_delay_ms=int("60000"))
    plain = flow(nodes=(Task(id="t", task="t", retry=RetryPolicy()),))
    spelt = flow(nodes=(Task(id="t", task="t", retry=retry, with_={}, priority=0),))
    assert canonical(plain) == canonical(spelt)
    assert b"backoff" not in canonical(spelt)


def test_equal_definitions_have_equal_bytes_whatever_they_were_made_of():
    body = (Set(id="a", value=1),)
    one = flow(nodes=(Map(id="m", items="[1]", do=body, tolerate_percent=5.0),))
    other = flow(nodes=[Map(id="m", items="[1]", do=list(body), tolerate_percent=5)])
    assert canonical(one) == canonical(other)


def test_what_differs_has_another_hash():
    hashes = {
        definition_hash(each)
        for each in (
            flow(),
            flow(workflow="other"),
            flow(nodes=(Set(id="a", value=1.0),)),
            flow(nodes=(Set(id="a", value=True),)),
            flow(nodes=(End(id="a", value=1),)),
            flow(output=0),
            flow(output=False),
            flow(timeout_ms=5),
        )
    }
    assert len(hashes) == 8
    assert all(len(each) == HASH_CHARS for each in hashes)


def test_the_hash_of_a_released_form_stays():
    assert definition_hash(flow(params={"n": {"type": "integer"}}, output="${a}")) == "de18d6403ae8c469f3418eed1173d55e"


def test_anything_else_is_refused():
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"workflow": "x", "nodes": [{"type": "teleport", "id": "a"}]}')
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"workflow": "x", "nodez": []}')
    with pytest.raises(msgspec.DecodeError):
        decode(b"{")
