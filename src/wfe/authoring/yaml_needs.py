"""How labels and amounts of resources are written in YAML: ``labels: [gpu]``, ``resources: {gpu: 1, memory: 2GB}``."""

from __future__ import annotations

from typing import Any

from wfe.authoring.yaml_forms import Context, Form, Misread, describe, mapping_of
from wfe.authoring.yaml_tree import Scalar, Sequence, Tree
from wfe.model.needs import Amount, amount_text, check_amount, check_label, thousandths


def _read_labels(_: Context, tree: Tree, __: str) -> tuple[str, ...]:
    items = tree.items if isinstance(tree, Sequence) else [tree]
    return tuple(sorted({_label(item) for item in items}))


def _label(tree: Tree) -> str:
    if not isinstance(tree, Scalar):
        raise Misread(f"a label is text, not {describe(tree)}", tree.mark)
    try:
        return check_label(tree.value)
    except ValueError as error:
        raise Misread(str(error), tree.mark) from None


def _read_amounts(context: Context, tree: Tree, where: str) -> dict[str, Amount]:
    found: dict[str, Amount] = {}
    for name, entry in sorted(mapping_of(context, tree, "resources", where).entries.items()):
        if not isinstance(entry, Scalar):
            message = f'{name}: an amount is a number, or a size such as "2GB", not {describe(entry)}'
            raise Misread(message, entry.mark)
        try:
            found[name] = check_amount(name, entry.value)
        except ValueError as error:
            raise Misread(str(error), entry.mark) from None
    return found


def _write_amounts(amounts: dict[str, Amount]) -> dict[str, Any]:
    """Sizes as people write them; whatever would not be read as the same amount stays a number."""
    return {name: _written(name, amount) for name, amount in amounts.items()}


def _written(name: str, amount: Amount) -> Any:
    text = amount_text(name, thousandths(amount))
    return text if text.endswith("B") and check_amount(name, text) == amount else amount


LABEL_LIST = Form(_read_labels, list, {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]})
AMOUNTS = Form(
    _read_amounts,
    _write_amounts,
    {
        "type": "object",
        "additionalProperties": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]},
    },
)
