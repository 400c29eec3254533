"""Checks PyTorch's archives before PyTorch loads them, so that no code in them can run."""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ostiary.edge.errors import BundleError

PICKLE = (
    'give the encoder as source = "package.module:factory" with state = a file of'
    " torch.save(model.state_dict(), ...)"
)
STATE = "give a file of torch.save(model.state_dict(), ...)"
RESAVE = "save it again with torch.export.save and the torch that is installed here"
TARGETS = re.compile(
    r"torch\.ops\.aten\.\w+\.\w+"
    r"|torch\.ops\.higher_order\.wrap_with_(set_grad_enabled|autocast)"
    r"|torch\.sym_\w+"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_)"
    r"|math\.(ceil|floor|trunc|sqrt)"
)
"""Functions that a program may call; PyTorch would call any by its name, even os.system."""
SYMBOLS = ("Symbol", "Integer", "Add", "Mul", "Pow", "Max", "Min", "Mod", "PythonMod", "FloorDiv",
           "CleanDiv", "CeilDiv", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "LessThan", "GreaterThan",
           "StrictLessThan", "StrictGreaterThan", "Not", "And", "Or")  # fmt: skip
SYNTAX = (ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp,
          ast.UnaryOp, ast.Compare, ast.operator, ast.unaryop, ast.cmpop)  # fmt: skip


def vet_script(path: Path) -> None:
    """Raise BundleError if a file is not TorchScript; the error says what it seems to be."""
    members = _members(path)
    if members is None:
        if path.read_bytes()[:1] == b"\x80":
            raise BundleError(
                f"{path} is a pickle, which runs code when loaded; not loaded", PICKLE
            )
        raise BundleError(f"{path} is not a TorchScript file", "it may be truncated: copy it again")
    if "archive_format" in members:
        raise BundleError(f"{path} is a torch.export program", "give its name the ending .pt2")
    if "constants.pkl" not in members or not any(name.startswith("code/") for name in members):
        raise BundleError(
            f"{path} is not TorchScript but a pickle of torch.save, which runs code when loaded;"
            " not loaded",
            PICKLE,
        )


def vet_program(path: Path, torch: Any) -> None:
    """Raise BundleError if a .pt2 file is not complete or has parts that PyTorch would execute.

    torch.export.load unpickles some parts without limits, loads machine code, evaluates sizes that
    are given as text, and looks up functions by name.
    """
    members = _members(path)
    if members is None or "archive_format" not in members:
        raise BundleError(f"{path} is not a torch.export program", RESAVE)
    with zipfile.ZipFile(path) as archive:
        texts = {short: archive.read(name) for short, name in members.items() if _is_text(short)}
        pickles = {s: archive.read(n) for s, n in members.items() if "/sample_inputs/" in s}
    code = next((name for name in members if name.startswith("data/aotinductor")), None)
    if code is not None:
        raise _refused(path, f"the machine code {code}")
    for name, raw in pickles.items():
        load_tensors(io.BytesIO(raw), f"{path}: {name}", torch)
    for name, raw in texts.items():
        _vet_text(path, name, raw)


def load_tensors(file: Any, where: str, torch: Any, *, trust: bool = False) -> Any:
    """Load tensors in plain containers.

    Raises BundleError if `file` contains code that would run, unless `trust`.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(file, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"would run code ({named[1]})" if named else "might run code, or is no pickle at all"
        raise BundleError(f"{where} is a pickle that {what}; not loaded", STATE) from error
    except (RuntimeError, EOFError, OSError, LookupError, TypeError, ValueError) as error:
        raise BundleError(f"{where} cannot be read as tensors", STATE) from error


def _refused(path: Path, what: str) -> BundleError:
    return BundleError(
        f"{path} contains {what}, which PyTorch would run; not loaded",
        "export the module to ONNX, or give it as package.module:factory;"
        " set trust_pickle = true only for a file you made",
    )


def _members(path: Path) -> dict[str, str] | None:
    """Member names by short name, without the top folder; None if it is no complete zip file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return None
    short = {name.partition("/")[2]: name for name in names}
    tops = {name.partition("/")[0] for name in names}
    # If two members had one name, PyTorch's zip reader might load the one that is not checked here.
    if len({name.lower() for name in short}) != len(names) or len(tops) != 1:
        raise BundleError(f"{path} is not an archive as PyTorch writes it", "save it again")
    return short


def _is_text(name: str) -> bool:
    return name.endswith(".json")


def _vet_text(path: Path, name: str, raw: bytes) -> None:
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise BundleError(f"{path}: {name} is not JSON", RESAVE) from error
    for key, value in _fields(document):
        if key == "use_pickle" and value:
            raise _refused(path, f"a pickle listed in {name}")
        if key == "target" and isinstance(value, str) and not _known_target(value):
            raise _refused(path, f"a call of {value!r}")
        if key in ("expr_str", "guards_code") and not _harmless(key, value):
            raise _refused(path, f"the expression {value!r}")


def _fields(document: Any) -> Iterator[tuple[str, Any]]:
    todo = [document]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            yield from item.items()
            todo += item.values()
        elif isinstance(item, list):
            todo += item


def _known_target(text: str) -> bool:
    return TARGETS.fullmatch(text) is not None


def _harmless(key: str, value: Any) -> bool:
    """Whether a text that PyTorch would evaluate contains only arithmetic on sizes."""
    if isinstance(value, list):
        return all(_harmless(key, item) for item in value)
    guard = key == "guards_code"
    try:
        nodes = list(ast.walk(ast.parse(value, mode="eval")))
    except (SyntaxError, ValueError, TypeError, RecursionError):
        return False
    return all(_harmless_node(node, guard) for node in nodes)


def _harmless_node(node: ast.AST, guard: bool) -> bool:
    if isinstance(node, ast.Attribute):
        return guard and node.attr in ("size", "shape")
    if isinstance(node, ast.Call):
        called = node.func
        return isinstance(called, ast.Attribute) or getattr(called, "id", "") in SYMBOLS
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        # sympy's parser also evaluates the name of a symbol.
        return guard or node.value.isidentifier()
    return isinstance(node, SYNTAX) or (
        guard and isinstance(node, (ast.Subscript, ast.BoolOp, ast.boolop))
    )
