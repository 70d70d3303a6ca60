"""The one byte form of a definition, and its hash: what addresses a definition in the catalogue.

Pure. Two definitions with the same meaning have the same bytes: keys are sorted (but for ``params``, whose order is
part of the meaning: positional arguments bind by it), defaults are omitted, numbers have the form that decoding gives
them, and ``version`` is left out, because it names a graph and is not part of one. `decode` reads the bytes back.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from wfe.model.definition import Definition

HASH_CHARS = 32
_decoder = msgspec.json.Decoder(Definition)


def canonical(definition: Definition) -> bytes:
    """The canonical JSON of a definition, without its version."""
    # Decoding once normalises what constructors take as it is: 5 in a float field, lists in tuple fields.
    normal = _decoder.decode(msgspec.json.encode(msgspec.structs.replace(definition, version=None)))
    tree = msgspec.to_builtins(normal, order="sorted")
    if "params" in tree:
        tree["params"] = {name: tree["params"][name] for name in normal.params}
    return msgspec.json.encode(tree)


def decode(data: bytes) -> Definition:
    """A definition from its JSON. Raises msgspec.ValidationError or msgspec.DecodeError on anything else."""
    return _decoder.decode(data)


def definition_hash(definition: Definition) -> str:
    """The address of a definition: the first 32 hex characters of the SHA-256 of its canonical form."""
    return sha256(canonical(definition)).hexdigest()[:HASH_CHARS]
