"""An agent: a model is asked again and again, its tools are called, until it has an answer or the budget is spent.

wfe run examples/agent.py:answer -i '"What is 6 times 7?"'
"""

from __future__ import annotations

from dataclasses import dataclass, field

import wfe


@dataclass
class Reply:
    """What the model says next: a tool to call with some input, or the answer."""

    tool: str = ""
    input: str = ""
    answer: str = ""


@dataclass
class Talk:
    messages: list[str] = field(default_factory=list)
    answer: str = ""


@wfe.task(retry=wfe.Retry(max_attempts=5), timeout="60s")
def ask_model(messages: list[str]) -> Reply:
    """Stands for the call of a model: it asks for the calculator once."""
    last = messages[-1]
    if last.startswith("calculator: "):
        return Reply(answer=last.removeprefix("calculator: "))
    return Reply(tool="calculator", input="6*7")


@wfe.task(timeout="10s")
def call_tool(tool: str, input: str) -> str:
    left, right = input.split("*")
    return f"{tool}: {int(left) * int(right)}"


@wfe.workflow
def answer(wf: wfe.Graph, question: str) -> str:
    talk = wf.state(Talk(messages=[question]))
    with wf.loop(max_iterations=20):
        reply = ask_model(talk.messages)
        with wf.when(reply.tool == ""):
            talk.answer = reply.answer
            wf.break_if()
        found = call_tool(reply.tool, reply.input)
        talk.messages = talk.messages + [found]  # noqa: RUF005  (a value of the run cannot be unpacked)
    return talk.answer
