"""The HTTP gateway: beside a server (`wfe serve --http`), and on its own (`wfe gateway`).

Litestar and uvicorn come with the extra ``[server]``; nothing of them is imported unless a gateway runs.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec

from wfe.config import DEFAULT_HTTP, GatewayOptions, ServeOptions, find_token
from wfe.errors import ConfigError
from wfe.secrets import mask_secrets

if TYPE_CHECKING:
    from wfe.client.aclient import AsyncClient

EXIT_REFUSED = 2
_NEEDED = ("litestar", "uvicorn", "prometheus_client")
MISSING = "the HTTP gateway needs further packages: pip install 'wfe[server]'"


def is_installed() -> bool:
    """Whether the extra ``[server]`` is there."""
    return all(find_spec(name) is not None for name in _NEEDED)


def with_gateway(options: ServeOptions) -> ServeOptions:
    """The options with a port that is free for the gateway (port 0: one is chosen). ConfigError when it is not."""
    if not options.http:
        return options
    if not is_installed():
        raise ConfigError(MISSING)
    from wfe.gateway.process import check_place, listen, parse_http

    gateway = msgspec.structs.replace(options.gateway or GatewayOptions(), http=options.http)
    check_place(gateway)
    host, _ = parse_http(options.http)
    try:
        with listen(options.http) as listener:
            port = listener.getsockname()[1]
    except OSError as error:
        raise ConfigError(f"--http {options.http}: cannot listen there: {error.strerror or error}") from error
    http = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return msgspec.structs.replace(options, http=http, gateway=msgspec.structs.replace(gateway, http=http))


def development_http(given: str) -> str:
    """Where `wfe dev` listens: where it is told to, else at the usual port or, when that is taken, at a free one.

    "" when the extra is not installed, or for ``off``. The same for all restarts, so that a browser's page stays good.
    """
    if given:
        return "" if given == "off" else given
    if not is_installed():
        print(f"wfe: no page in the browser: {MISSING}", file=sys.stderr)
        return ""
    from wfe.gateway.process import listen

    for where in (DEFAULT_HTTP, "127.0.0.1:0"):
        try:
            with listen(where) as listener:
                return f"127.0.0.1:{listener.getsockname()[1]}"
        except OSError:
            continue
    return ""


def url_of(options: ServeOptions) -> str:
    """Where the gateway of a server is; "" without one."""
    if not options.http:
        return ""
    secure = options.gateway is not None and options.gateway.tls_cert
    return f"{'https' if secure else 'http'}://{options.http}"


def run_gateway(options: GatewayOptions) -> int:
    """Serves HTTP for a server until told to stop; the exit code."""
    from wfe import observe

    observe.configure(options.log_level, options.log_format, mask=mask_secrets, process="gateway")
    if not is_installed():
        print(f"wfe: {MISSING}", file=sys.stderr)
        return EXIT_REFUSED
    from wfe.bootstrap.world import new_loop
    from wfe.gateway.process import check_place, main

    try:
        check_place(options)
    except ConfigError as error:
        print(f"wfe: {error}", file=sys.stderr)
        return EXIT_REFUSED
    return main(options, lambda: _client(options), new_loop, _print_url)


def gateway(options: GatewayOptions) -> int:
    """`wfe gateway`: as a process of its own. The token: WFE_TOKEN, or what the server left for this user."""
    token = options.token or find_token(options.connect)
    if not token:
        print(
            f"wfe: there is no token for {options.connect}: start the server first, or set WFE_TOKEN", file=sys.stderr
        )
        return EXIT_REFUSED
    from wfe.transport.descriptors import raise_descriptor_limit

    raise_descriptor_limit()
    return run_gateway(msgspec.structs.replace(options, token=token))


def _client(options: GatewayOptions) -> AsyncClient:
    from wfe.bootstrap.clients import open_client_link
    from wfe.client.aclient import AsyncClient

    return AsyncClient(open_client_link, options.connect, lambda: options.token, peer=f"gateway-{os.getpid()}")


def _print_url(url: str) -> None:
    """For people, and only for them: the code in it is a key."""
    print(f"wfe: open {url}", file=sys.stderr, flush=True)
