"""The gateway as a process: the application on a listening socket, until it is told to stop.

The socket is bound before anything else, so that a port that is taken is said at once. uvicorn runs on our loop and
leaves signals to us: the first SIGTERM or SIGINT lets answers end (streams and long polls do at once), a second one
ends at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from wfe.client.aclient import AsyncClient
from wfe.config import GatewayOptions
from wfe.errors import ConfigError
from wfe.gateway.app import make_app
from wfe.gateway.connections import Connection
from wfe.gateway.state import Gateway
from wfe.observe import get_logger

GRACE_S = 3
KEEP_ALIVE_S = 30
CONNECTIONS_MAX = 1_000
BACKLOG = 256
EXIT_REFUSED = 2
_log = get_logger("gateway")


class _Server(uvicorn.Server):
    """Signals are handled here, not by uvicorn, which would send them on to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(
    options: GatewayOptions,
    make_client: Callable[[], AsyncClient],
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    on_url: Callable[[str], None],
) -> int:
    """Serves until SIGTERM or SIGINT; the exit code. ``on_url``: gets the URL that logs a browser in, once."""
    try:
        listener = listen(options.http)
    except (ConfigError, OSError) as error:
        print(f"wfe: cannot listen on {options.http}: {error}", file=sys.stderr)
        return EXIT_REFUSED
    with listener, asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_serve(options, make_client, listener, on_url))


async def _serve(
    options: GatewayOptions,
    make_client: Callable[[], AsyncClient],
    listener: socket.socket,
    on_url: Callable[[str], None],
) -> int:
    gateway = Gateway(make_client, options, time.time)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # what it does is said here
    config = uvicorn.Config(
        make_app(gateway),
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=options.tls_cert or None,
        ssl_keyfile=options.tls_key or None,
    )
    server = _Server(config)
    _stop_on_signals(server, gateway)
    url = url_of(listener, secure=bool(options.tls_cert))
    _log.info("listening", url=url)
    on_url(f"{url}/login?code={gateway.sessions.login_code}")
    await server.serve(sockets=[listener])
    return 0


def _stop_on_signals(server: uvicorn.Server, gateway: Gateway) -> None:
    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True
        gateway.streams.end()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
        else:
            loop.add_signal_handler(number, stop)


def parse_http(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``. ConfigError for anything else."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) < 65_536):
        raise ConfigError(f"{text!r} is no place to listen on: write HOST:PORT, e.g. 127.0.0.1:7780")
    return ("127.0.0.1" if host == "localhost" else host), int(port)


def check_place(options: GatewayOptions) -> None:
    """Beyond loopback the token would travel in clear text: ConfigError, unless something protects the way."""
    host, _ = parse_http(options.http)
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ConfigError("TLS takes both a certificate and its key: tls_cert and tls_key")
    for file in (options.tls_cert, options.tls_key):
        if file and not os.access(file, os.R_OK):
            raise ConfigError(f"{file}: cannot be read")
    if not (_is_loopback(host) or options.tls_cert or options.trusted_network):
        raise ConfigError(
            f"refusing to listen on {options.http} without TLS: beyond this host the token would travel in clear text. "
            "Give [gateway] tls_cert and tls_key in the configuration file, listen on 127.0.0.1 behind a proxy that "
            "does TLS, or set trusted_network = true if the network is protected otherwise"
        )


def listen(where: str) -> socket.socket:
    """A listening socket. OSError when the port is taken or the address is not of this host."""
    host, port = parse_http(where)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=False)


def url_of(listener: socket.socket, *, secure: bool) -> str:
    """Where a browser on this host finds it."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
