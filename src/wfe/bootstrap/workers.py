"""`wfe worker`: a parent that supervises one worker process, which connects to a server from anywhere."""

from __future__ import annotations

import os
import sys

import msgspec

from wfe.bootstrap.server import EXIT_REFUSED, command
from wfe.config import DEFAULT_ADDRESS, WorkerOptions, find_token
from wfe.errors import ConfigError
from wfe.otel import endpoint_of
from wfe.secrets import mask_secrets


def work(options: WorkerOptions) -> int:
    """Works until SIGTERM or SIGINT, or until the server refuses it; the exit code."""
    from wfe import observe
    from wfe.coordinator.children import spawn
    from wfe.transport.endpoints import parse_tcp
    from wfe.worker.supervisor import supervise

    observe.configure(options.log_level, options.log_format, mask=mask_secrets, process="worker-parent")
    if options.connect == DEFAULT_ADDRESS:
        options = msgspec.structs.replace(options, connect=os.environ.get("WFE_ADDRESS", "").strip() or DEFAULT_ADDRESS)
    try:
        address = parse_tcp(options.connect).text
        options = msgspec.structs.replace(options, otel=endpoint_of(options.otel))
    except ConfigError as error:
        print(f"wfe: {error}", file=sys.stderr)
        return EXIT_REFUSED
    options = msgspec.structs.replace(options, connect=address, token=options.token or find_token(address))
    return supervise(options, lambda child: spawn(command("worker"), child))
