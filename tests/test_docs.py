"""Whatever a page shows is run: README.md and docs/, in the order of the page, in a directory of its own.

* ``python``: executed; the blocks of a page share their names. ``yaml`` with a ``workflow:``: read and validated;
  ``toml``: loaded as configuration; ``json``: parsed.
* ``console``: each ``$ command`` is run (by the shell, if it needs one), and what follows must be what comes out:
  ``...`` stands for any text in a line, a line ``...`` for any lines. No output shown: any output. A command that ends
  in ``&`` runs until the end of the page, and the next one waits for its first line. ``# exit 1`` after a command: that
  exit code.
* ``127.0.0.1:7780`` in a command is a port of the page's own.
* A block whose first line is ``# file: NAME`` becomes that file (``python`` and ``yaml`` then are not executed).
* ``<!-- docs: skip -->`` on the line before a block leaves it alone. Pages with a test of their own are in OWN_TEST.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import command_line

ROOT = Path(__file__).parent.parent
OWN_TEST = {"docs/expressions.md", "docs/yaml.md", "docs/graphs.md", "docs/patterns.md"}
"""Pages whose own tests run their examples: each row of a table of theirs is a case."""
COMMAND_TIMEOUT_S = 120
SKIP = "<!-- docs: skip -->"


@dataclass
class Block:
    language: str
    text: str
    line: int


@dataclass
class Page:
    """A page being read: its directory, its names, its servers."""

    directory: Path
    environ: dict[str, str]
    names: dict[str, object] = field(default_factory=lambda: {"__name__": "page"})
    background: list[subprocess.Popen[str]] = field(default_factory=list)
    http: str = ""


def blocks_of(text: str) -> list[Block]:
    found: list[Block] = []
    lines = text.splitlines()
    opened: tuple[int, str] | None = None
    for number, line in enumerate(lines):
        fence = re.match(r"\s*```(\w*)\s*$", line)
        if not fence:
            continue
        if opened is None:
            opened = (number, fence[1])
            continue
        start, language = opened
        opened = None
        if language and not (start and lines[start - 1].strip() == SKIP):
            found.append(Block(language, "\n".join(lines[start + 1 : number]) + "\n", start + 2))
    assert opened is None, "a code block is not closed"
    return found


def matches(expected: str, got: str) -> bool:
    """Whether the output is what the page shows; ``...`` is a wildcard, within a line and for whole lines."""
    pattern = ""
    for line in expected.rstrip().splitlines():
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*"
        else:
            pattern += ".*?".join(re.escape(part) for part in line.rstrip().split("...")) + r"[ \t]*\n"
    return re.fullmatch(pattern, got.rstrip() + "\n") is not None


def console_steps(text: str) -> list[tuple[str, int, str]]:
    """(command, exit code, expected output) of a console block; a command goes on after a backslash."""
    steps: list[tuple[str, int, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            command, _, code = line[2:].partition("  # exit ")
            steps.append((command, int(code or 0), ""))
        elif steps and steps[-1][0].endswith("\\"):
            steps[-1] = (steps[-1][0][:-1] + line.strip(), *steps[-1][1:])
        elif steps:
            steps[-1] = (*steps[-1][:2], steps[-1][2] + line + "\n")
        else:
            raise AssertionError(f"a console block starts with '$ ', not with {line!r}")
    return steps


def run_console(page: Page, block: Block) -> None:
    for command, code, expected in console_steps(block.text.replace("127.0.0.1:7780", page.http)):
        if command.endswith(" &"):
            start_background(page, command[:-2], expected)
            continue
        if command.startswith("curl ") and shutil.which("curl") is None:
            pytest.skip("curl is not installed, and the rest of the page shows what it prints")
        done = run_command(page, command)
        assert done.returncode == code, f"line {block.line}: $ {command} gave {done.returncode}:\n{done.stdout}"
        if expected.strip():
            assert matches(expected, done.stdout), (
                f"line {block.line}: $ {command} printed\n{done.stdout}\nnot\n{expected}"
            )


def run_command(page: Page, command: str) -> subprocess.CompletedProcess[str]:
    """Through the shell, if there is anything in it for one; without it, ``wfe`` need not be imported each time."""
    if command.startswith("wfe ") and not re.search(r"[^\w\s'@:./=,-]", re.sub(r"'[^']*'", "''", command)):
        arguments = shlex.split(command)[1:]
        return command_line.run(
            arguments, environment=page.environ, directory=page.directory, merged=True, timeout_s=COMMAND_TIMEOUT_S
        )
    return subprocess.run(
        command,
        shell=True,
        cwd=page.directory,
        env=page.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )


def start_background(page: Page, command: str, expected: str) -> None:
    """Start a server, and wait for its first line, which says that it serves."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}"],
        cwd=page.directory,
        env=page.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    page.background.append(process)
    watchdog = threading.Timer(COMMAND_TIMEOUT_S, process.kill)
    watchdog.start()
    assert process.stdout is not None
    first = process.stdout.readline()
    watchdog.cancel()
    assert first, f"$ {command} ended without a word: {process.wait()}"
    if expected.strip():
        assert matches(expected, first), f"$ {command} printed {first!r}, not {expected!r}"
    # Whatever else it prints is read, so that a full pipe never stops it.
    threading.Thread(target=process.stdout.read, daemon=True).start()


def run_python(page: Page, block: Block, number: int) -> None:
    # A real file: drawing a workflow looks at its source.
    file = page.directory / f"page_block_{number}.py"
    file.write_text("\n" * (block.line - 1) + block.text, encoding="utf-8")
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), page.names)


def check_yaml(block: Block) -> None:
    if not re.search(r"^workflow:", block.text, flags=re.M):
        return
    from wfe.authoring.yaml_reader import read_definitions
    from wfe.core.validate import validate

    for definition in read_definitions(block.text, f"line {block.line}"):
        assert not [f for f in validate(definition) if f.severity == "error"]


def check_toml(page: Page, block: Block) -> None:
    from wfe.config import ALERTS, SECTIONS, load_options, read_table
    from wfe.gateway.alerts.rules import read_alerting

    tomllib.loads(block.text)
    file = page.directory / "block.toml"
    file.write_text(block.text, encoding="utf-8")
    for kind in SECTIONS:
        load_options(kind, file=file, environ={})
    read_alerting(read_table(ALERTS, file=file, environ={}))


def run_block(page: Page, block: Block, number: int) -> None:
    named = re.match(r"# file: (\S+)\n", block.text)
    if named:
        (page.directory / named[1]).write_text(block.text[named.end() :], encoding="utf-8")
        if block.language == "yaml":
            check_yaml(block)
        return
    match block.language:
        case "python":
            run_python(page, block, number)
        case "yaml":
            check_yaml(block)
        case "toml":
            check_toml(page, block)
        case "json":
            json.loads(block.text)
        case "console":
            run_console(page, block)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def page(tmp_path, monkeypatch):
    address = f"tcp://127.0.0.1:{free_port()}"
    changes = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "WFE_LISTEN": address,
        "WFE_ADDRESS": address,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    for key, value in changes.items():
        monkeypatch.setenv(key, value)
    directory = tmp_path / "page"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend(str(directory))
    before = set(sys.modules)
    made = Page(directory, dict(os.environ), http=f"127.0.0.1:{free_port()}")
    yield made
    for process in made.background:
        process.send_signal(signal.SIGTERM)
    for process in made.background:
        process.wait(30)
    for name in set(sys.modules) - before:
        if str(directory) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(
    "path",
    [p for p in PAGES if p.relative_to(ROOT).as_posix() not in OWN_TEST],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_every_block_of_the_page_runs_as_shown(path, page):
    for number, block in enumerate(blocks_of(path.read_text(encoding="utf-8"))):
        run_block(page, block, number)


# ---- the harness itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\n", "a\nb\nc\n", True),
        ("...\nc\n", "a\nb\nc\n", True),
        ("run ... done in ... s\n", "run 0123 done in 0.3 s\n", True),
        ("run ... done\n", "run 0123\ndone\n", False),
        ("cost: $3 (net)\n", "cost: $3 (net)\n", True),
    ],
)
def test_shown_output_is_compared_with_wildcards(expected, got, same):
    assert matches(expected, got) is same


def test_a_console_block_is_compared_with_what_comes_out(page):
    run_console(page, Block("console", "$ echo one; echo two\none\n...\n$ false  # exit 1\n", 1))
    with pytest.raises(AssertionError, match="printed"):
        run_console(page, Block("console", "$ echo one\ntwo\n", 1))
    with pytest.raises(AssertionError, match="gave 3"):
        run_console(page, Block("console", "$ exit 3\n", 1))


def test_blocks_share_names_and_become_files(page):
    text = "# file: lib.py\nVALUE = 3\n"
    run_block(page, Block("python", text, 1), 0)
    run_block(page, Block("python", "import lib\nx = lib.VALUE\n", 5), 1)
    run_block(page, Block("python", "assert x == 3\n", 9), 2)
    with pytest.raises(AssertionError):
        run_block(page, Block("python", "assert x == 4\n", 9), 3)


def test_a_skipped_block_and_a_block_without_language_are_left_alone():
    text = f"{SKIP}\n```python\n1/0\n```\n\n```\nplain\n```\n\n```python\nx = 1\n```\n"
    assert [(b.language, b.text) for b in blocks_of(text)] == [("python", "x = 1\n")]


def test_an_unclosed_block_is_noticed():
    with pytest.raises(AssertionError, match="not closed"):
        blocks_of("```python\nx = 1\n")


def test_a_background_command_runs_to_the_end_of_the_page(page):
    run_console(page, Block("console", "$ sh -c 'echo ready; exec sleep 60' &\nready\n", 1))
    assert page.background[0].poll() is None
