"""Labels and amounts of resources: how they are written, read and compared."""

import pytest

from wfe.model.needs import (
    ANY,
    Needs,
    amount_text,
    check_amount,
    check_label,
    label_texts,
    missing_labels,
    missing_resources,
    needs_of,
    read_labels,
    read_resources,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("2GB", 2_000_000_000), ("512MiB", 512 * 1024**2), ("1.5 kB", 1_500), (2, 2), (2.0, 2), (0.5, 0.5), ("7b", 7)],
)
def test_an_amount_is_a_number_or_a_size(text: object, amount: float) -> None:
    assert check_amount("tape", text) == amount
    assert type(check_amount("tape", text)) is type(amount)


@pytest.mark.parametrize("amount", [0, -1, True, None, "2", "much", "2XB", float("nan"), float("inf"), 0.0001, 10**16])
def test_other_amounts_are_refused(amount: object) -> None:
    with pytest.raises(ValueError, match="gpu"):
        check_amount("gpu", amount)


def test_memory_without_a_unit_is_refused_since_it_was_hardly_meant_as_bytes() -> None:
    with pytest.raises(ValueError, match="2GB"):
        check_amount("memory", 8)


@pytest.mark.parametrize("label", ["", "a b", "=x", "a=", "*", 3, "x" * 201])
def test_what_is_no_label_is_refused_with_an_example(label: object) -> None:
    with pytest.raises(ValueError, match="zone=eu"):
        check_label(label)


def test_a_label_with_a_value_is_also_one_without() -> None:
    labels = label_texts(read_labels(["gpu,zone=eu"]))
    assert missing_labels(Needs(("gpu", "zone")), labels) == []
    assert missing_labels(Needs(("zone=eu",)), labels) == []
    assert missing_labels(Needs(("cheap", "zone=us")), labels) == ["cheap", "zone=us"]


def test_a_worker_says_its_resources_by_name_and_amount() -> None:
    assert read_resources(["gpu=1,memory=8GB", "cpu=0.5"]) == {"gpu": 1_000, "memory": 8_000_000_000_000, "cpu": 500}


@pytest.mark.parametrize("given", [["gpu"], ["gpu=1", "gpu=2"], ["gpu=none"], ["=1"]])
def test_resources_that_make_no_sense_are_refused(given: list[str]) -> None:
    with pytest.raises(ValueError, match=r"gpu|resource"):
        read_resources(given)


def test_a_label_has_one_value() -> None:
    with pytest.raises(ValueError, match="both"):
        read_labels(["zone=eu", "zone=us"])


def test_what_is_missing_is_named_with_its_amount() -> None:
    needs = needs_of(["gpu"], {"gpu": 2, "memory": 4_000_000_000})
    assert needs is not None
    assert missing_resources(needs, {"gpu": 1_000, "memory": 8_000_000_000_000}) == [("gpu", 2_000)]
    assert missing_resources(needs, {}) == [("gpu", 2_000), ("memory", 4_000_000_000_000)]


def test_a_worker_for_everything_lacks_nothing_that_it_does_not_name() -> None:
    needs = needs_of(["gpu"], {"gpu": 2, "tape": 1})
    assert needs is not None
    assert missing_labels(needs, label_texts(read_labels([ANY]))) == []
    assert missing_resources(needs, read_resources([ANY, "gpu=1"])) == [("gpu", 2_000)]


def test_nothing_needed_is_none() -> None:
    assert needs_of([], {}) is None


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [
        ("gpu", 500, "0.5"),
        ("memory", 2_000_000_000_000, "2GB"),
        ("memory", 1_024_000_000, "1024kB"),
        ("gpu", 3_000, "3"),
    ],
)
def test_amounts_are_shown_as_people_write_them(name: str, amount: int, text: str) -> None:
    assert amount_text(name, amount) == text
