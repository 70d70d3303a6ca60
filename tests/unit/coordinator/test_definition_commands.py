"""Deprecating, tagging, choosing and deleting versions: the coordinator, a shard and the client, with restarts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from wfe.core.canonical import definition_hash
from wfe.errors import DefinitionDeprecated, DefinitionInUse, InvalidInput, UnknownWorkflow, VersionConflict
from wfe.model.definition import Definition, Fail, Set, SubWorkflow, WaitSignal
from wfe.testing import Env
from wfe.wire.messages import DefinitionFound


@pytest.fixture
def env() -> Iterator[Env]:
    with Env() as env:
        yield env


def constant(value: Any, name: str = "flow", version: int | None = None) -> Definition:
    return Definition(name, version, nodes=(Set(id="a", value=value),), output="${a}")


def waiting(name: str = "flow") -> Definition:
    return Definition(name, nodes=(WaitSignal(id="go", signal="go"),), output="${go}")


def call(env: Env, operation: str, *args: Any, **kwargs: Any) -> Any:
    return env._drive(getattr(env.client, operation)(*args, **kwargs))


def listed(env: Env) -> dict[int, DefinitionFound]:
    return {found.version: found for found in call(env, "definitions")}


# ---- deprecation ----------------------------------------------------------------------------------------------------


def test_a_deprecated_version_refuses_starts_and_its_runs_go_on(env: Env) -> None:
    env.deploy(waiting())
    run = env.start("flow")
    assert call(env, "deprecate", "flow", note="use flow_two") == [1]
    with pytest.raises(DefinitionDeprecated, match="version 1 of workflow 'flow' is deprecated: use flow_two"):
        env.start("flow")
    with pytest.raises(DefinitionDeprecated):
        env.start("flow@1")
    run_after = env.get(run.id)
    env._drive(run_after._run.signal("go", 7))
    assert run_after.result() == 7


def test_a_start_that_is_repeated_after_its_version_was_deprecated_names_its_run(env: Env) -> None:
    env.deploy(waiting())
    run = env.start("flow", key="k")
    call(env, "deprecate", "flow")
    assert env.start("flow", key="k").id == run.id
    with pytest.raises(DefinitionDeprecated):
        env.start("flow", key="another")


def test_a_failed_run_of_a_deprecated_version_is_retried(env: Env) -> None:
    env.deploy(Definition("flow", nodes=(WaitSignal(id="go", signal="go"), Fail(id="no", error="No")), output=1))
    run = env.start("flow")
    env._drive(run._run.signal("go"))
    assert run.status() == "failed"
    call(env, "deprecate", "flow@1")
    env._drive(run._run.retry())
    assert run.status() == "failed", "it went on, and failed again"


def test_a_deprecated_workflow_is_still_called_by_others(env: Env) -> None:
    env.deploy(constant(5, "inner"), Definition("outer", nodes=(SubWorkflow(id="x", workflow="inner"),), output="${x}"))
    call(env, "deprecate", "inner")
    assert env.run("outer") == 5


def test_deprecation_of_one_version_names_another_and_survives_a_crash(env: Env) -> None:
    env.deploy(constant(1))
    env.deploy(constant(2))
    assert call(env, "deprecate", "flow", version=2) == [2]
    assert call(env, "deprecate", "flow", version=2) == []
    env.crash()
    with pytest.raises(DefinitionDeprecated, match="start flow@1"):
        env.start("flow")
    assert env.run("flow@1") == 1
    env.deploy(constant(2))
    with pytest.raises(DefinitionDeprecated):
        env.start("flow")
    assert call(env, "undeprecate", "flow") == [2]
    assert env.run("flow") == 2
    env.deploy(constant(3))
    call(env, "deprecate", "flow", version=2)
    assert env.run("flow") == 3, "a new version is not deprecated"


def test_commands_on_what_is_not_there_are_refused_by_name(env: Env) -> None:
    env.deploy(constant(1))
    for operation in ("deprecate", "undeprecate", "make_current", "delete_definition"):
        with pytest.raises(UnknownWorkflow, match=r"did you mean 'flow'\?"):
            call(env, operation, "flwo")
        with pytest.raises(UnknownWorkflow, match="has no version 9"):
            call(env, operation, "flow", version=9)


# ---- tags and the current version -----------------------------------------------------------------------------------


def test_a_tag_stands_for_a_version_in_every_command(env: Env) -> None:
    env.deploy(constant(1))
    env.deploy(constant(2))
    assert call(env, "tag", "flow", "stable", version=1) == 1
    assert call(env, "tag", "flow", "latest") == 2
    env.crash()
    assert {version: found.tags for version, found in listed(env).items()} == {1: ["stable"], 2: ["latest"]}
    assert env.run("flow@stable") == 1
    assert env.run("flow@latest") == 2
    assert call(env, "definition", "flow@stable") == constant(1)
    assert call(env, "deprecate", "flow@stable") == [1]
    assert call(env, "make_current", "flow@latest") is False
    assert call(env, "tag", "flow", "stable", version=2) == 2
    assert env.run("flow@stable") == 2
    assert call(env, "untag", "flow", "stable") is True
    assert call(env, "untag", "flow", "stable") is False
    with pytest.raises(UnknownWorkflow, match="workflow 'flow' has no tag 'stable'; it has latest"):
        env.start("flow@stable")


@pytest.mark.parametrize("tag", ["", "7", "a b", "x" * 300])
def test_a_tag_is_a_name(env: Env, tag: str) -> None:
    env.deploy(constant(1))
    with pytest.raises(InvalidInput, match="tag"):
        call(env, "tag", "flow", tag)


def test_another_version_becomes_current_without_a_deploy(env: Env) -> None:
    env.deploy(constant(1))
    env.deploy(constant(2))
    assert call(env, "make_current", "flow", version=1) is True
    assert call(env, "make_current", "flow", version=1) is False
    env.crash()
    assert env.run("flow") == 1


# ---- deletion -------------------------------------------------------------------------------------------------------


def test_an_unused_version_is_deleted_and_stays_so(env: Env) -> None:
    env.deploy(constant(1))
    env.deploy(constant(2))
    env.run("flow")
    assert call(env, "delete_definition", "flow", version=1) == [1]
    assert call(env, "delete_definition", "flow", version=1) == [], "it is gone already"
    env.crash()
    assert list(listed(env)) == [2]
    with pytest.raises(UnknownWorkflow, match="has no version 1; it has 2"):
        env.start("flow@1")
    with pytest.raises(UnknownWorkflow):
        call(env, "definition", hash=definition_hash(constant(1)))
    with pytest.raises(VersionConflict):
        env.deploy(constant(9, version=1))


def test_a_run_that_is_kept_keeps_its_definition(env: Env) -> None:
    env.deploy(constant(1))
    ended = env.start("flow")
    env.deploy(waiting())
    opened = env.start("flow")
    env.deploy(constant(3))
    for version, run in ((1, ended), (2, opened)):
        with pytest.raises(DefinitionInUse, match=f"run {run.id} refers to workflow 'flow'"):
            call(env, "delete_definition", "flow", version=version)
    env.skip("1h")  # into the stores, and out of memory
    env.crash()
    for version, run in ((1, ended), (2, opened)):
        with pytest.raises(DefinitionInUse, match=run.id):
            call(env, "delete_definition", "flow", version=version)
    with pytest.raises(DefinitionInUse, match=r"run \w+ refers"):
        call(env, "delete_definition", "flow")
    assert sorted(listed(env)) == [1, 2, 3]
    assert call(env, "definition", "flow", version=1) == constant(1)


def test_the_current_version_goes_with_all_others_only(env: Env) -> None:
    env.deploy(constant(1))
    env.deploy(constant(2))
    with pytest.raises(DefinitionInUse, match="is the current one"):
        call(env, "delete_definition", "flow", version=2)
    assert call(env, "delete_definition", "flow") == [1, 2]
    with pytest.raises(UnknownWorkflow, match="no workflow 'flow' is registered any more: it was deleted"):
        env.start("flow")
    assert env.deploy(constant(1))[0].version == 3
    assert env.run("flow") == 1


def test_what_another_definition_starts_is_kept(env: Env) -> None:
    env.deploy(constant(1, "inner"))
    env.deploy(constant(2, "inner"))
    env.deploy(Definition("outer", nodes=(SubWorkflow(id="x", workflow="inner", version=1),), output="${x}"))
    with pytest.raises(
        DefinitionInUse, match=r"workflow 'outer' \(version 1\) starts workflow 'inner' in its node 'x'"
    ):
        call(env, "delete_definition", "inner", version=1)
    call(env, "delete_definition", "outer")
    assert call(env, "delete_definition", "inner", version=1) == [1]
