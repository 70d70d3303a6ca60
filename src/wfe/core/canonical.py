"""The one byte form of a definition, and its hash: what addresses a definition in the catalogue.

Pure. Two definitions with the same meaning have the same bytes: keys are sorted (but for ``params``, as positional
arguments bind by their order, and the cases of a decision, of which the first that holds counts), values that equal
their default are omitted, numbers have the form that decoding gives them, and ``version`` is left out, because it names
a graph and is not part of one. `decode` reads the bytes back.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import NODEFAULT, UNSET, Struct
from msgspec.structs import FieldInfo

from wfe.model.definition import Decision, Definition

HASH_CHARS = 32
_decoder = msgspec.json.Decoder(Definition)


def canonical(definition: Definition) -> bytes:
    """The canonical JSON of a definition, without its version."""
    # Decoding once normalises what constructors take as it is: 5 in a float field, lists in tuple fields.
    normal = _decoder.decode(msgspec.json.encode(msgspec.structs.replace(definition, version=None)))
    tree = _tree(normal)
    if normal.params:
        tree["params"] = {name: tree["params"][name] for name in normal.params}
    return msgspec.json.encode(tree)


def decode(data: bytes) -> Definition:
    """A definition from its JSON. Raises msgspec.ValidationError or msgspec.DecodeError on anything else."""
    return _decoder.decode(data)


def definition_hash(definition: Definition) -> str:
    """The address of a definition: the first 32 hex characters of the SHA-256 of its canonical form."""
    return sha256(canonical(definition)).hexdigest()[:HASH_CHARS]


def _tree(value: Any) -> Any:
    if isinstance(value, Struct):
        config = value.__struct_config__
        found = {} if config.tag_field is None else {config.tag_field: config.tag}
        for name, encoded, default in _fields(type(value)):
            part = getattr(value, name)
            # msgspec's own omit_defaults goes by identity, which numbers lose on the way through a text.
            if part is not UNSET and not (type(part) is type(default) and part == default):
                found[encoded] = part if isinstance(value, Decision) and name == "cases" else _tree(part)
        return dict(sorted(found.items()))
    if isinstance(value, dict):
        return {key: _tree(part) for key, part in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_tree(part) for part in value]
    return value


@lru_cache(maxsize=64)
def _fields(struct: type[Struct]) -> tuple[tuple[str, str, Any], ...]:
    """(name, name when encoded, default) of each field."""
    return tuple((each.name, each.encode_name, _default_of(each)) for each in msgspec.structs.fields(struct))


def _default_of(field: FieldInfo) -> Any:
    return field.default if field.default_factory is NODEFAULT else field.default_factory()
