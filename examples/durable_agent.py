"""An agent as a durable function: it asks a model, calls its tools, asks a person before it pays, within a budget.

MODEL_URL=http://... wfe run examples/durable_agent.py:agent -i '{"wish": "a table for two"}'
"""

import json
import os
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import wfe


class OverBudget(Exception):
    """The model has used up what it may."""


@dataclass
class Reply:
    """What the model says next: a tool to call, or the answer. ``tokens``: what that cost."""

    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    answer: str = ""
    tokens: int = 0


@wfe.task(retry=wfe.Retry(max_attempts=5, initial_delay="100ms"), timeout="60s")
def ask_model(messages: list[str]) -> Reply:
    with urllib.request.urlopen(os.environ["MODEL_URL"], json.dumps(messages).encode(), timeout=50) as response:
        return Reply(**json.load(response))


@wfe.task
def search(what: str) -> str:
    return f"{what}: the Anchor has one, for 20 euros"


@wfe.task(redeliver=False)
def pay(euros: int) -> str:
    return f"paid {euros} euros"


@wfe.workflow
async def agent(wf: wfe.Durable, wish: str, budget: int = 1_000) -> str:
    messages, tools = [wish], {"search": search, "pay": pay}
    while True:
        reply = await wf.call(ask_model, messages)
        budget -= reply.tokens
        wf.publish({"step": len(messages), "tool": reply.tool, "tokens_left": budget})
        if reply.answer:
            return reply.answer
        if budget <= 0:
            raise OverBudget(f"no answer within the budget, after {len(messages)} steps")
        if reply.tool == "pay" and not (await wf.approval("pay", on_reject="continue")).approved:
            messages.append("the person does not want to pay")
            continue
        messages.append(await wf.call(tools[reply.tool], **reply.arguments))
