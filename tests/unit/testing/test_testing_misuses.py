"""Misuses of the test kit and of `connect` are refused at the line that makes them."""

from __future__ import annotations

from typing import Any

import pytest
import shop_for_env as shop

import wfe
from wfe.testing import Env


@pytest.mark.parametrize("error", ["x", 3, None, int])
def test_a_mock_raises_exceptions_only(error: Any) -> None:
    with Env() as env, pytest.raises(wfe.InvalidInput, match=r"raises\(.*exception"):
        env.mock(shop.charge).raises(error)


def test_a_mock_does_functions_only_so_many_times() -> None:
    with Env() as env:
        with pytest.raises(wfe.InvalidInput, match=r"does\(3\)"):
            env.mock(shop.charge).does(3)  # type: ignore[arg-type]
        with pytest.raises(wfe.InvalidInput, match="times='2'"):
            env.mock(shop.charge).returns(1, times="2")  # type: ignore[arg-type]


def test_a_scenario_is_a_function_and_a_seed_a_number() -> None:
    with pytest.raises(wfe.InvalidInput, match=r"crash_everywhere\(1\)"):
        Env.crash_everywhere(1)  # type: ignore[arg-type]
    with pytest.raises(wfe.InvalidInput, match="seed='x'"):
        Env(seed="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("connect", [wfe.connect, wfe.aconnect])
def test_an_address_and_a_token_are_text(connect: Any) -> None:
    for arguments, path in (((5,), "address"), ((None, b"t"), "token")):
        with pytest.raises(wfe.InvalidInput) as found:
            connect(*arguments)
        assert found.value.path == path
