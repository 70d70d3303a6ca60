"""What a task asks of the worker that runs it, and what a worker has: labels, and amounts of resources. Pure.

A label is text: ``gpu``, or ``zone=eu``; a worker with ``zone=eu`` has ``zone``, too. A resource is a name with an
amount: a number, or a size as text (``"2GB"``), which is its bytes. Amounts are compared in thousandths, so that half a
GPU is exact. Invariant: a task that asks for nothing has no `Needs` at all, and takes the way it always took.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

from wfe.limits import LABELS_MAX, NAME_CHARS_MAX, RESOURCE_AMOUNT_MAX

Amount: TypeAlias = int | float
ANY = "*"
"""As a worker's label: it has all. As its resource: it has without end what it does not name."""
THOUSAND = 1_000
_SIZES = {
    unit.lower(): factor
    for power, letter in enumerate(("", "k", "M", "G", "T", "P"))
    for unit, factor in ((f"{letter}B", 1000**power), (f"{letter}iB" if letter else "B", 1024**power))
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d{1,3})?)\s*([kKmMgGtTpP]?i?[bB])\s*")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*(=[A-Za-z0-9_./-]+)?")
_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_IN_BYTES = ("memory", "disk")
_BYTES_MIN = 1_000_000
"""Less of what is counted in bytes is a number whose unit was forgotten."""


class Needs(Struct, frozen=True, array_like=True):
    """Both sorted by name; amounts in thousandths."""

    labels: tuple[str, ...] = ()
    resources: tuple[tuple[str, int], ...] = ()


def needs_of(labels: Iterable[str], resources: Mapping[str, Amount]) -> Needs | None:
    """What checked labels and amounts ask for; None: nothing."""
    named = tuple(sorted(set(labels)))
    amounts = tuple((name, thousandths(amount)) for name, amount in sorted(resources.items()))
    return Needs(named, amounts) if named or amounts else None


def thousandths(amount: Amount) -> int:
    return round(amount * THOUSAND)


# ---- text -----------------------------------------------------------------------------------------------------------


def check_label(label: object) -> str:
    """The label; ValueError with a way out."""
    if not isinstance(label, str) or not _LABEL.fullmatch(label) or len(label) > NAME_CHARS_MAX:
        raise ValueError(f'{label!r} is no label: write "gpu" or "zone=eu", of letters, digits and _ . / -')
    return label


def check_amount(name: str, amount: object) -> Amount:
    """The amount of a resource as a number: bytes for a size. ValueError with a way out."""
    if not isinstance(name, str) or not _RESOURCE.fullmatch(name) or len(name) > NAME_CHARS_MAX:
        raise ValueError(f"{name!r} is no name of a resource: write for example gpu, of letters, digits and _ . / -")
    value: Amount
    if isinstance(amount, str):
        value = _size(name, amount)
    elif isinstance(amount, bool) or not isinstance(amount, int | float):
        raise ValueError(f'{name}: an amount is a number, or a size such as "2GB", not {amount!r}')
    else:
        value = int(amount) if abs(amount) < RESOURCE_AMOUNT_MAX and amount % 1 == 0 else amount
    if not 0 < value <= RESOURCE_AMOUNT_MAX:
        raise ValueError(f"{name}: an amount is more than 0 and at most {RESOURCE_AMOUNT_MAX}, not {amount!r}")
    if abs(value * THOUSAND - round(value * THOUSAND)) > 1e-6 or thousandths(value) < 1:
        raise ValueError(f"{name}: {amount!r} is finer than a thousandth")
    if name in _IN_BYTES and value < _BYTES_MIN:
        raise ValueError(f'{name} is counted in bytes, and {amount!r} is hardly any: write a size such as "2GB"')
    return value


def _size(name: str, text: str) -> Amount:
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in _SIZES:
        raise ValueError(f'{name}: {text!r} is no number or size: write for example 2, "512MiB" or "2GB"')
    size: int = round(float(match[1]) * _SIZES[match[2].lower()])
    return size


def check_needs(labels: Iterable[object], resources: Mapping[str, object]) -> tuple[tuple[str, ...], dict[str, Amount]]:
    """What an author wrote, in the form of a definition. ValueError with a way out."""
    named = tuple(sorted({check_label(label) for label in labels}))
    amounts = {name: check_amount(name, amount) for name, amount in sorted(resources.items())}
    if len(named) > LABELS_MAX or len(amounts) > LABELS_MAX:
        raise ValueError(f"a task asks for at most {LABELS_MAX} labels and {LABELS_MAX} resources")
    return named, amounts


def read_labels(given: Iterable[str]) -> dict[str, str]:
    """A worker's labels from their texts, by name. ValueError with a way out."""
    labels: dict[str, str] = {}
    for label in _split(given):
        name, _, value = (label if label == ANY else check_label(label)).partition("=")
        if labels.get(name) not in (None, "", value):
            raise ValueError(f"{name} is both {labels[name]!r} and {value!r}")
        labels[name] = value or labels.get(name, "")
    return labels


def read_resources(given: Iterable[str]) -> dict[str, int]:
    """A worker's resources from texts like ``gpu=1`` and ``memory=8GB``, in thousandths. ValueError with a way out."""
    resources: dict[str, int] = {}
    for text in _split(given):
        if text == ANY:
            resources[ANY] = 1
            continue
        name, equals, amount = text.partition("=")
        if not equals:
            raise ValueError(f"{text!r}: write the amount, too, for example {text}=1")
        if name in resources:
            raise ValueError(f"{name} is given twice")
        number = re.fullmatch(r"\d+(\.\d+)?", amount)
        resources[name] = thousandths(check_amount(name, float(amount) if number else amount))
    return resources


def _split(given: Iterable[str]) -> Iterable[str]:
    return (part.strip() for text in given for part in text.split(",") if part.strip())


def amount_text(name: str, amount_thousandths: int) -> str:
    """An amount as people write it."""
    value = amount_thousandths / THOUSAND
    if name in _IN_BYTES:
        for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
            if value % factor == 0:
                return f"{value / factor:g}{unit}"
        return f"{value:.0f}B"
    return f"{value:g}" if value < 1e6 else f"{value:.0f}"


# ---- matching -------------------------------------------------------------------------------------------------------


def label_texts(labels: Mapping[str, str]) -> frozenset[str]:
    """Every label that a worker has, as tasks name them."""
    return frozenset([*labels, *(f"{name}={value}" for name, value in labels.items() if value)])


def missing_labels(needs: Needs, labels: frozenset[str]) -> list[str]:
    """The labels that a worker lacks."""
    return [] if ANY in labels else [label for label in needs.labels if label not in labels]


def missing_resources(needs: Needs, resources: Mapping[str, int]) -> list[tuple[str, int]]:
    """What of the resources is more than there is: of a worker's whole, it can never run the task; of what is free, it
    cannot now."""
    endless = ANY in resources
    return [
        (name, amount) for name, amount in needs.resources if resources.get(name, amount if endless else 0) < amount
    ]
