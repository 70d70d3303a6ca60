"""The pytest plugin that comes with wfe: the fixture ``wfe_env``, an `Env` of its own per test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wfe.testing.env import Env


@pytest.fixture
def wfe_env() -> Iterator[Env]:
    """A wfe engine on a virtual clock: ``env.run(workflow, input)``. See docs/testing.md."""
    from wfe.testing.env import Env

    with Env() as env:
        yield env
