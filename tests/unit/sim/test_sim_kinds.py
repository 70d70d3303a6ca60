"""Every kind of node is made at random by the simulator, and the auditor knows what it means."""

from __future__ import annotations

from random import Random
from typing import get_args

import pytest

from wfe.model.definition import Definition, Node, walk
from wfe.sim.generator import Generator
from wfe.sim.kinds import KINDS, NEVER
from wfe.sim.walks import WALKS


def made(seed: int) -> Definition:
    generator = Generator(Random(seed), children=("child",), endless=True, outside=True)
    return generator.definition("program", 3)


def test_every_kind_of_the_language_has_a_generator_or_a_reason_why_not():
    assert set(KINDS) | set(NEVER) == set(get_args(Node))
    assert not set(KINDS) & set(NEVER)
    assert all(NEVER.values())


def test_the_auditor_knows_what_every_kind_that_is_made_means():
    assert set(KINDS) <= set(WALKS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_generator_really_makes_every_kind(kind: type):
    assert any(isinstance(node, kind) for seed in range(200) for node in walk(made(seed).nodes))
