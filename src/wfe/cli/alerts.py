"""Alerts: what the rules of a server's configuration say, and test messages: `wfe alerts`."""

from __future__ import annotations

from typing import Any

import click

from wfe.cli.output import EXIT_FAILED, command, complain, note, print_json, print_table
from wfe.cli.params import address_option, connected

ACTIONS = ("show", "test")


@command("alerts", short_help="Show alerts and their rules, or send a test message.")
@click.argument("action", type=click.Choice(ACTIONS), default="show")
@click.argument("rule", required=False)
@click.option("--config", "file", metavar="FILE", help="For test: the file with the rules [default: WFE_CONFIG].")
@address_option
def alerts_command(action: str, rule: str | None, file: str | None, address: str | None, as_json: bool) -> int:
    """Show what the alert rules of the server's configuration say.

    `wfe alerts test RULE --config FILE` sends a test message to the receivers of a rule, from here, without a server.
    """
    if action == "test":
        if rule is None:
            raise click.UsageError("name the rule: wfe alerts test RULE")
        return _test(rule, file, as_json)
    if rule is not None:
        raise click.UsageError(f"show takes no rule: did you mean `wfe alerts test {rule}`?")
    from wfe.client.alerts import alerts_document

    with connected(address) as client:
        document = alerts_document(client.alerts())
    if as_json:
        print_json(document)
    else:
        _print(document)
    return 0


def _test(rule: str, file: str | None, as_json: bool) -> int:
    from wfe.bootstrap.alerts import send_test

    outcomes = send_test(rule, file)
    if as_json:
        print_json([{"receiver": name, "error": error or None} for name, error in outcomes])
    else:
        for name, error in outcomes:
            click.echo(f"{name}: {f'not delivered: {error}' if error else 'delivered'}")
    return EXIT_FAILED if any(error for _, error in outcomes) else 0


def _print(document: dict[str, Any]) -> None:
    if document["at"] is None:
        note("no rules: write [alerts.rules.NAME] into the server's configuration file")
        return
    rows = [
        (
            alert["state"],
            alert["rule"],
            alert["subject"],
            alert["value"] or "",
            alert["limit"],
            alert["since"] or "",
            ", ".join(alert["to"]) or "all",
        )
        for alert in document["alerts"]
    ]
    print_table(("STATE", "RULE", "OF", "VALUE", "LIMIT", "SINCE", "TO"), rows, "no rules")
    for receiver in document["receivers"]:
        if receiver["error"]:
            complain(f"{receiver['name']}: {receiver['error']} ({receiver['failed']} messages not delivered)")
