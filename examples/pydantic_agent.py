"""pydantic-ai's own agent loop inside a durable function: each request to the model and each tool is a recorded call.

pip install pydantic-ai-slim; wfe run examples/pydantic_agent.py:ask -i '"How warm is it in Oslo?"'
"""

from typing import Any

from pydantic import TypeAdapter
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

import wfe

MESSAGES = TypeAdapter(list[ModelMessage])
RESPONSE = TypeAdapter(ModelResponse)
PARAMETERS = TypeAdapter(ModelRequestParameters)


def stand_in(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """In place of a real model, which costs money: it asks for the temperature, and then says it."""
    last = messages[-1].parts[-1]
    if last.part_kind == "tool-return":
        return ModelResponse(parts=[TextPart(f"It is {last.content} degrees.")])
    return ModelResponse(parts=[ToolCallPart("temperature", {"city": "Oslo"})])


MODEL: Model = FunctionModel(stand_in)  # or OpenAIChatModel("gpt-5"), AnthropicModel("claude-...")


@wfe.task(retry=wfe.Retry(max_attempts=5), timeout="120s")
async def request_model(messages: Any, settings: Any, parameters: Any) -> Any:
    """Asks the model, in a worker: this happens once, and is recorded."""
    asked = MESSAGES.validate_python(messages), settings, PARAMETERS.validate_python(parameters)
    return RESPONSE.dump_python(await MODEL.request(*asked), mode="json")


class RecordedModel(WrapperModel):
    """A model whose requests are calls of the task."""

    async def request(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> ModelResponse:
        asked = MESSAGES.dump_python(messages, mode="json"), settings, PARAMETERS.dump_python(parameters, mode="json")
        return RESPONSE.validate_python(await request_model(*asked))


@wfe.task
async def measure(city: str) -> int:
    return len(city) + 7


weather = Agent(RecordedModel(MODEL), instructions="You know how warm it is.")


@weather.tool_plain
async def temperature(city: str) -> int:
    """How warm it is in a city, in degrees."""
    return await measure(city)


@wfe.workflow
async def ask(wf: wfe.Durable, question: str) -> str:
    return (await weather.run(question)).output
