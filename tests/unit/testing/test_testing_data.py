"""Typed, wrong and large values from Python to worker and back, crashes included."""

from __future__ import annotations

import pytest
from data_for_env import (
    TEXT,
    Line,
    Order,
    caught,
    goes_wrong,
    many_readers,
    outer,
    passes_on,
    read,
    readers_of_results,
    sum_up,
    tries_again,
    wrong,
)

import wfe
from wfe.testing import Env


def test_types_of_python_are_checked_at_the_start(wfe_env: Env) -> None:
    assert wfe_env.run(sum_up, Order("a", [Line(1.5)])) == [1.5]
    with pytest.raises(wfe.InvalidInput) as refused:
        wfe_env.start("sum_up", {"id": "a", "lines": [{"price": 1}, {"price": "free"}]})
    assert refused.value.path == "$.lines[1].price"


def test_a_result_that_is_not_what_the_annotation_says_fails_with_its_place_and_is_not_retried(wfe_env: Env) -> None:
    with pytest.raises(wfe.RunFailed) as failed:
        wfe_env.run(goes_wrong, 1)
    error = failed.value.error
    assert (error.type, error.node, error.attempts) == ("InvalidOutput", "wrong", 1)
    assert "$.lines[1].price" in error.message
    assert "$.lines[1].price" in wfe_env.run(caught, 1)


def test_a_policy_that_names_it_tries_again(wfe_env: Env) -> None:
    assert wfe_env.run(tries_again, 1) == "well"


def test_a_mocked_result_must_fit_too(wfe_env: Env) -> None:
    wfe_env.mock(wrong).returns(Order("mine", []))
    assert wfe_env.run(goes_wrong, 1) == "mine"


def test_arguments_of_an_unknown_type_are_checked_where_the_function_is_called(wfe_env: Env) -> None:
    with pytest.raises(wfe.RunFailed) as failed:
        wfe_env.run(passes_on, 1)
    error = failed.value.error
    assert (error.type, error.node, error.attempts) == ("InvalidInput", "totals", 1)
    assert "$.order" in error.message


def test_many_tasks_read_one_large_value(wfe_env: Env) -> None:
    expected = [f"{number + 1}:{len(TEXT)}" for number in range(40)]
    found = wfe_env.run(many_readers, TEXT, 40)
    assert [text.rpartition(":")[0] for text in found] == expected
    assert len({text.rpartition(":")[2] for text in found}) == 1


def test_mocks_see_large_arguments_whole(wfe_env: Env) -> None:
    mock = wfe_env.mock(read).does(lambda text, number: f"{number}/{len(text)}")
    assert wfe_env.run(many_readers, TEXT, 2) == [f"1/{len(TEXT)}", f"2/{len(TEXT)}"]
    assert [call.text for call in mock.calls] == [TEXT, TEXT]


def test_large_values_survive_a_crash_at_any_event() -> None:
    def scenario(env: Env) -> object:
        return env.run(outer, TEXT)

    first, second, third = Env.crash_everywhere(scenario)  # type: ignore[misc]
    assert first.startswith(f"1:{len(TEXT)}:")
    assert second == f"2:{len(TEXT)}"
    assert third == TEXT.upper()


def test_a_run_shows_large_values_whole_and_its_history_names_them(wfe_env: Env) -> None:
    run = wfe_env.start(readers_of_results, TEXT)
    assert run.result()[2] == TEXT.upper()
    shown = [event for event in run.history() if "size_bytes" in str(event)]
    assert shown, "shout(shout(text)) gives what is there already"
