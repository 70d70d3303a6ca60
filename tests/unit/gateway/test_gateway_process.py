"""The gateway beside a server and on its own: options, what is missing, and a server that became another one."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from wfe.bootstrap import gateways
from wfe.client.aclient import AsyncClient
from wfe.config import GatewayOptions, ServeOptions, load_options
from wfe.errors import ConfigError, Disconnected, Unauthorized
from wfe.gateway import state
from wfe.gateway.state import Gateway


class FakeClient:
    """``trouble``: what each question for the status meets, in order; then it is answered."""

    def __init__(self, *trouble: Exception) -> None:
        self.trouble = list(trouble)
        self.closed = False
        self.answered = asyncio.Event()

    async def open(self) -> None:
        return None

    async def status(self) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.answered.set()

    async def close(self) -> None:
        self.closed = True


async def test_a_gateway_connects_anew_when_the_server_has_become_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "RETRY_S", 0.0)
    monkeypatch.setattr(state, "LOOK_S", 0.0)
    first = FakeClient(Disconnected("not there yet"), Unauthorized("another token"))
    second = FakeClient()
    clients = iter([first, second])
    gateway = Gateway(lambda: cast(AsyncClient, next(clients)), GatewayOptions(token="t" * 20), time.time)
    await gateway.start()
    await asyncio.wait_for(second.answered.wait(), 10)
    await gateway.stop()
    assert first.closed
    assert second.closed


def test_a_free_port_is_chosen_once_for_the_gateway_and_what_prints_it() -> None:
    options = gateways.with_gateway(ServeOptions(http="localhost:0"))
    assert options.gateway is not None
    assert options.gateway.http == options.http
    assert not options.http.endswith(":0")
    assert gateways.url_of(options) == f"http://{options.http}"
    assert gateways.with_gateway(ServeOptions()).gateway is None
    assert gateways.url_of(ServeOptions()) == ""


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gateways, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"wfe\[server\]"):
        gateways.with_gateway(ServeOptions(http="127.0.0.1:0"))
    assert gateways.run_gateway(GatewayOptions()) == 2
    assert gateways.development_http("") == ""
    assert "wfe[server]" in capsys.readouterr().err


def test_development_listens_where_it_is_told_or_wherever_is_room() -> None:
    assert gateways.development_http("127.0.0.1:9") == "127.0.0.1:9"
    assert gateways.development_http("off") == ""
    assert gateways.development_http("").startswith("127.0.0.1:")


def test_a_gateway_alone_needs_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("WFE_TOKEN", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert gateways.gateway(GatewayOptions(connect="tcp://127.0.0.1:1")) == 2


def test_its_settings_come_from_the_table_gateway(tmp_path: Any) -> None:
    file = tmp_path / "wfe.toml"
    file.write_text('[gateway]\nhooks = {shop = "SHOP"}\ncors = ["https://a.example"]\nmetrics_open = true\n')
    options = load_options(GatewayOptions, {"http": "127.0.0.1:1"}, file=file, environ={"WFE_ADDRESS": "tcp://h:1"})
    assert (options.hooks, options.cors, options.metrics_open) == ({"shop": "SHOP"}, ["https://a.example"], True)
    assert (options.http, options.connect) == ("127.0.0.1:1", "tcp://h:1")
