"""The command lines that documents name, and whether the real parsers take them."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from tests.support.places import ROOT

APPS = {
    "ostiary": "ostiary.edge.__main__",
    "ostiary-export": "ostiary.export.__main__",
    "ostiary-fleet": "ostiary.fleet.__main__",
    "ostiary-train": "ostiary.training.__main__",
}
MODULES = {module.removesuffix(".__main__"): module for module in APPS.values()}
ENDS = {";", "&&", "||", "|", "&", "(", ")"}
REDIRECTS = {">", ">>", "<"}
WITH_VALUE = {"-u", "-n"}
"""Options of sudo, nice and the like that take a value."""
PLACEHOLDER = "N"
"""A document writes this capital where a number is wanted."""
PROJECT = (ROOT / "pyproject.toml").read_text()
EXTRAS = set(
    re.findall(r"(?m)^([a-z-]+) = \[", PROJECT.split("optional-dependencies]")[1].split("\n[")[0])
)


class Line(NamedTuple):
    """A command of a document. A mention, as in prose, may leave out what is required."""

    text: str
    mention: bool = False


def commands(markdown: str) -> Iterator[Line]:
    """Every command line of a document: fenced blocks, table cells of code alone, prose."""
    for language, block in re.findall(r"(?ms)^ *```(\w*)\n(.*?)^ *```", markdown):
        for text in _of_block(language, block):
            yield Line(text)
    prose = re.sub(r"(?ms)^ *```.*?^ *```", "", markdown)
    for text in re.findall(r"`([^`]+)`", "\n".join(_alone(prose))):
        yield Line(text)
    for text in re.findall(r"`([^`]+)`", prose):
        yield Line(" ".join(text.split()), mention=True)


def problem(line: Line) -> str:
    """Why the line does not run as written, or nothing if it does or is no command of ours."""
    try:
        simple = list(_simple(line.text))
    except ValueError as error:
        return "" if line.mention else str(error)
    for words in simple:
        words = _unwrapped(words)
        if words and (why := _problem(words, line.mention)):
            return why
    return ""


def programs(line: Line) -> set[str]:
    """The programs that a line names, as the checks know them."""
    with contextlib.suppress(ValueError):
        return {_name(words) for words in map(_unwrapped, _simple(line.text)) if words}
    return set()


def _of_block(language: str, block: str) -> list[str]:
    lines = re.sub(r"\\\n\s*", " ", block).splitlines()
    prompted = [text.strip()[2:] for text in lines if text.strip().startswith("$ ")]
    if prompted or language not in ("sh", "bash", "shell", "console"):
        return prompted
    return lines


def _alone(prose: str) -> Iterator[str]:
    """Cells of tables that hold code and nothing else."""
    for row in re.findall(r"(?m)^\|(.*)\|$", prose):
        for cell in re.split(r"(?<!\\)\|", row):
            if not re.sub(r"`[^`]+`|[;,.\s]", "", cell):
                yield cell


def _simple(text: str) -> Iterator[list[str]]:
    """The simple commands of a shell line. Raises ValueError for an open quotation mark."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = iter(list(lexer))
    for token in tokens:
        if token in ENDS:
            yield words
            words = []
        elif token in REDIRECTS:
            next(tokens, None)
        else:
            words.append(token)
    yield words


def _unwrapped(words: Sequence[str]) -> list[str]:
    """The command itself, without variables, sudo, nice and the folder of the program."""
    left = list(words)
    while left and (re.match(r"\w+=", left[0]) or left[0] in ("sudo", "nice", "env", "exec")):
        wrapper = left.pop(0) in ("sudo", "nice")
        while wrapper and left and left[0].startswith("-"):
            del left[: 2 if left[0] in WITH_VALUE else 1]
    if left and (program := re.match(r"(?:.*/bin|\$\w+)/([\w.-]+)$", left[0])):
        left[0] = program[1]
    return left


def _name(words: Sequence[str]) -> str:
    if words[0] in ("python", "python3") and words[1:2] == ["-m"]:
        return " ".join(words[1:3])
    return words[0].removeprefix("./")


def _problem(words: list[str], mention: bool) -> str:
    program, arguments = _name(words), words[1:]
    if program in APPS:
        return _asked(program, APPS[program], arguments, mention)
    if program.startswith("-m "):
        return _module(program[3:], arguments[2:], mention)
    if program in ("python", "python3") and arguments[:1] == ["-c"]:
        return _snippet(arguments[1])
    if program == "torchrun":
        return _torchrun(arguments, mention)
    if program == "pytest":
        return _pytest(arguments)
    if program in ("pip", "pip3"):
        return _pip(arguments)
    return _script(program, arguments, mention) if program.startswith("scripts/") else ""


def _module(name: str, arguments: list[str], mention: bool) -> str:
    if name in MODULES:
        return _asked(name, MODULES[name], arguments, mention)
    if name.split(".", maxsplit=1)[0] in ("bench", "scripts", "ostiary"):
        file = ROOT.joinpath(*name.split("."))
        main = f"{name}.__main__" if file.is_dir() else name
        if not (file / "__main__.py").is_file() and not file.with_suffix(".py").is_file():
            return f"there is no module {name}"
        return _asked(name, main, arguments, mention)
    if name == "torch.distributed.run":
        return _torchrun(arguments, mention)
    return _pytest(arguments) if name == "pytest" else ""


def _asked(program: str, module: str, arguments: list[str], mention: bool) -> str:
    """What the module's own parser, argparse's `parser()` or a typer `app`, says of arguments."""
    if mention and not arguments:
        return ""
    loaded: Any = importlib.import_module(module)
    given = ["1" if word == PLACEHOLDER else word for word in arguments]
    if hasattr(loaded, "parser"):
        parser = loaded.parser()
        for action in parser._actions:
            action.required &= not mention
        return _complaint(lambda: parser.parse_args(given), mention)
    command = typer.main.get_command(loaded.app)
    _silence(command)
    return _complaint(lambda: command.main(given, prog_name=program), mention)


def _silence(command: Any) -> None:
    """Let the command and its sub-commands parse only."""
    command.callback = lambda **_: None
    for each in getattr(command, "commands", {}).values():
        _silence(each)


def _complaint(parse: Callable[[], object], mention: bool) -> str:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            parse()
    except SystemExit as end:
        if end.code and not (
            mention
            and re.search(r"Missing|requires an argument|expected one argument", said.getvalue())
        ):
            return said.getvalue() or "a sub-command is missing"
    return ""


def _torchrun(arguments: list[str], mention: bool) -> str:
    if mention and not arguments:
        return ""
    from torch.distributed import run

    def parse() -> None:
        given = run.parse_args(arguments)  # type: ignore[no-untyped-call]
        if not given.module:
            raise SystemExit("torchrun is told no module")
        if why := _module(given.training_script, given.training_script_args, mention):
            raise SystemExit(why)

    try:
        return _complaint(parse, mention)
    except SystemExit as end:
        return str(end.code)


def _pytest(arguments: list[str]) -> str:
    for word in arguments:
        path, _, test = word.partition("::")
        if "/" in path and not (ROOT / path).exists():
            return f"there is no {path}"
        if test and f"def {test.split('[')[0]}(" not in (ROOT / path).read_text():
            return f"{path} has no {test}"
    return ""


def _pip(arguments: list[str]) -> str:
    for wanted in re.findall(r"\[([^\]]+)\]", " ".join(arguments)):
        if unknown := set(wanted.split(",")) - EXTRAS:
            return f"pyproject.toml has no extra {', '.join(unknown)}"
    return ""


def _snippet(code: str) -> str:
    """Whether what a `python -c` imports of ours is there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module not in ("pathlib", "os", "sys"):
            try:
                module = importlib.import_module(node.module or "")
            except ImportError as error:
                return str(error)
            if missing := [a.name for a in node.names if not hasattr(module, a.name)]:
                return f"{node.module} has no {', '.join(missing)}"
    return ""


def _script(program: str, arguments: list[str], mention: bool) -> str:
    if not (ROOT / program).exists():
        return f"there is no {program}"
    if program == "scripts/demo":
        return _asked(program, "scripts.demo", arguments, mention)
    return _install_device(arguments) if program == "scripts/install-device" else ""


def _install_device(arguments: list[str]) -> str:
    """The options that the script's own loop takes; those of its first branch want a value."""
    text = (ROOT / "scripts" / "install-device").read_text()
    table = text.split("case $1 in\n")[1].split("\n    esac")[0]
    branches = re.findall(r"(?m)^        ([-\w |]+)\)", table)
    with_value = set(branches[0].split(" | "))
    known = {option for branch in branches for option in branch.split(" | ")}
    words = iter(arguments)
    for word in words:
        if word not in known:
            return f"{word} is no option of scripts/install-device"
        if word in with_value and next(words, "-").startswith("-"):
            return f"{word} needs a value"
    return ""


def documents() -> list[Path]:
    """Every document that somebody may copy a command from."""
    loose = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "firmware_configs/README.md"]
    return [*(ROOT / name for name in loose), *sorted((ROOT / "docs").rglob("*.md"))]
