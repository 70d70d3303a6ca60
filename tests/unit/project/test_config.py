"""Options come from defaults, file, environment and flags, in that order; every error names its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wfe.config import (
    SECTIONS,
    ServeOptions,
    WorkerOptions,
    load_options,
    parse_size,
)
from wfe.errors import ConfigError
from wfe.secrets import add_secret, mask_secrets, read_secret

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def config_file(tmp_path: Path):
    def write(text: str) -> Path:
        file = tmp_path / "wfe.toml"
        file.write_text(text)
        return file

    return write


def test_without_any_source_the_defaults_hold():
    assert load_options(ServeOptions, environ={}) == ServeOptions()


def test_the_file_beats_defaults_the_environment_the_file_and_flags_everything(config_file):
    file = config_file('[serve]\nshards = 2\nworkers = 2\nlease = "20s"\n')
    options = load_options(
        ServeOptions,
        {"workers": 5, "data": None, "apps": []},
        file=file,
        environ={"WFE_WORKERS": "4", "WFE_SHARDS": "3"},
    )
    assert (options.shards, options.workers, options.lease_ms) == (3, 5, 20_000)
    assert options.data == ServeOptions().data


def test_wfe_config_names_the_file(config_file):
    assert load_options(ServeOptions, environ={"WFE_CONFIG": str(config_file("[serve]\nshards = 7\n"))}).shards == 7


def test_lists_in_the_environment_split_at_commas():
    options = load_options(WorkerOptions, environ={"WFE_APPS": "a.py, b.py", "WFE_ADDRESS": "tcp://10.0.0.1:7700"})
    assert options.apps == ["a.py", "b.py"]
    assert options.connect == "tcp://10.0.0.1:7700"


def test_labels_and_resources_are_checked_where_they_are_given(config_file):
    options = load_options(WorkerOptions, {"labels": ["gpu"]}, environ={"WFE_RESOURCES": "gpu=2, memory=8GB"})
    assert (options.labels, options.resources) == (["gpu"], ["gpu=2", "memory=8GB"])
    with pytest.raises(ConfigError, match="--label: 'a b' is no label"):
        load_options(WorkerOptions, {"labels": ["a b"]}, environ={})
    with pytest.raises(ConfigError, match="variable WFE_RESOURCES: 'gpu': write the amount"):
        load_options(ServeOptions, environ={"WFE_RESOURCES": "gpu"})
    with pytest.raises(ConfigError, match=r"worker.resources: memory is counted in bytes"):
        load_options(WorkerOptions, file=config_file('[worker]\nresources = ["memory=8"]'), environ={})


def test_a_flag_in_milliseconds_may_be_a_number_or_text():
    assert load_options(ServeOptions, {"lease_ms": 4000}, environ={}).lease_ms == 4000
    assert load_options(ServeOptions, {"lease_ms": "4s"}, environ={}).lease_ms == 4000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[serve]\nshards = 'many'\n", r"wfe\.toml: serve\.shards: .*int"),
        ("[serve]\nshard = 2\n", r"wfe\.toml: \[serve\] has no setting 'shard'"),
        ("[serve]\ntoken = 'x'\n", r"has no setting 'token'"),
        ("[serve]\nlease = 10\n", r"serve\.lease: 10 has no unit"),
        ("[serve]\nlease = 'soon'\n", r"serve\.lease: .*soon"),
        ("[serve]\ndurability = 'maybe'\n", r"serve\.durability"),
        ("[server]\n", r"unknown table or key 'server'"),
        ("serve = 1\n", r"must be a table"),
        ("[serve\n", r"is not TOML"),
    ],
)
def test_a_bad_file_is_refused_with_file_and_key(config_file, text, says):
    with pytest.raises(ConfigError, match=says):
        load_options(ServeOptions, file=config_file(text), environ={})


def test_a_missing_file_a_bad_variable_and_a_bad_flag_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load_options(ServeOptions, file=tmp_path / "nowhere.toml", environ={})
    with pytest.raises(ConfigError, match="environment variable WFE_SHARDS"):
        load_options(ServeOptions, environ={"WFE_SHARDS": "two"})
    with pytest.raises(ConfigError, match="--recovery-grace"):
        load_options(ServeOptions, {"recovery_grace_ms": "soon"}, environ={})
    with pytest.raises(ConfigError, match="--colour: there is no such setting"):
        load_options(ServeOptions, {"colour": "red"}, environ={})


@pytest.mark.parametrize(("text", "size"), [("512 KiB", 524_288), ("8MiB", 8_388_608), ("1GiB", 1 << 30), ("9b", 9)])
def test_sizes_are_text_with_a_unit(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["8", "", "8 parsecs", "-1MiB", "1.5MiB"])
def test_what_is_not_a_size_is_refused(text):
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize("name", ["wfe.toml", "production.toml"])
@pytest.mark.parametrize("kind", [ServeOptions, WorkerOptions])
def test_the_example_files_load(name, kind):
    load_options(kind, file=CONFIGS / name, environ={})


def test_the_commented_example_shows_every_setting_with_its_default(config_file):
    text = re.sub(r"^# (?=\w+ = )", "", (CONFIGS / "wfe.toml").read_text(), flags=re.M)
    file = config_file(re.sub(r"^apps = .*$", "", text, flags=re.M))
    for kind in SECTIONS:
        assert load_options(kind, file=file, environ={}) == kind()
    shown = set(re.findall(r"^# (\w+) = ", (CONFIGS / "wfe.toml").read_text(), flags=re.M))
    public = {f.removesuffix("_ms").removesuffix("_bytes") for kind in SECTIONS for f in kind.__struct_fields__}
    assert public - shown == {"parent_fd", "alone", "token", "index", "worker", "local", "board", "gateway", "alerts"}


def test_a_secret_comes_from_the_environment_else_from_the_secrets_directory(tmp_path):
    (tmp_path / "API_KEY").write_text("from-file\n")
    environ = {"WFE_SECRETS_DIR": str(tmp_path)}
    assert read_secret("API_KEY", environ=environ) == "from-file"
    assert read_secret("API_KEY", environ={**environ, "API_KEY": "from-env"}) == "from-env"


def test_a_missing_secret_names_both_places(tmp_path):
    with pytest.raises(ConfigError, match=f"environment variable NOPE or make the file {tmp_path}"):
        read_secret("NOPE", environ={"WFE_SECRETS_DIR": str(tmp_path)})


@pytest.mark.parametrize("name", ["../etc/passwd", "", "a/b", "x y"])
def test_a_secret_name_cannot_leave_the_directory(name, tmp_path):
    with pytest.raises(ConfigError, match="cannot name a secret"):
        read_secret(name, environ={"WFE_SECRETS_DIR": str(tmp_path)})


def test_secrets_are_masked_in_plain_and_in_json_form():
    add_secret('pass"word\n')
    add_secret("pass")
    assert mask_secrets('see {"a": "pass\\"word\\n"} and pass"word\n.') == 'see {"a": "********"} and ********.'


def test_a_secret_too_short_to_hide_masks_nothing():
    add_secret("1")
    assert mask_secrets("run 1 of 10") == "run 1 of 10"
