"""Find what our sources use of TensorRT, and read what its bindings say of themselves."""

import ast
import inspect
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Use:
    """Name one use: a class (empty: the module) and its member; a call with its arguments."""

    owner: str
    member: str
    function: str
    arguments: int | None = None
    keywords: tuple[str, ...] = ()
    target: str = ""
    """Variable that the result goes to."""


@dataclass(frozen=True)
class Signature:
    """Say what one overload takes beside self, and gives."""

    names: tuple[str, ...]
    required: int
    result: str

    def accepts(self, arguments: int, keywords: tuple[str, ...]) -> bool:
        """Say whether a call fits."""
        fits = set(keywords) <= set(self.names[arguments:])
        return fits and arguments <= len(self.names) and arguments + len(keywords) >= self.required


def uses(path: Path, variables: dict[str, str]) -> list[Use]:
    """Give every use of `trt` and of the named variables (and attributes of self) in a source."""
    tree = ast.parse(path.read_text("utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {id(part): function.name for function in functions for part in ast.walk(function)}
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    targets = {
        id(node.value): node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found += _overrides(node)
        if not isinstance(node, ast.Attribute):
            continue
        owner = _owner(node.value, variables)
        if owner is None:
            continue
        where, call = inside.get(id(node), ""), calls.get(id(node))
        member = node.attr
        if call is not None and owner == "":
            owner, member = member, "__init__"
        bound = node.attr == "__init__"  # called on the class, so self is an argument
        counts = (len(call.args) - bound, tuple(item.arg or "" for item in call.keywords)) if call else (None, ())
        found.append(Use(owner, member, where, *counts, targets.get(id(call), "")))
    return found


def signatures(doc: str) -> list[Signature]:
    """Read the overloads out of a docstring of pybind11."""
    lines = [re.sub(r"^\d+\. ", "", line) for line in doc.splitlines()]
    matches = [re.fullmatch(r"\w+\((self: .*|self)\)(?: -> (.*))?", line.strip()) for line in lines]
    return [_signature(match[1], match[2] or "") for match in matches if match]


def of_function(function) -> Signature:
    """Read the signature of a Python method."""
    parameters = [item for item in inspect.signature(function).parameters.values() if item.name != "self"]
    required = sum(item.default is item.empty for item in parameters)
    return Signature(tuple(item.name for item in parameters), required, "")


def _owner(node: ast.expr, variables: dict[str, str]) -> str | None:
    text = ast.unparse(node)
    if text in {"trt", "self._trt"}:
        return ""
    if text.startswith("trt.") and text.count(".") == 1:
        return text.removeprefix("trt.")
    return variables.get(text)


def _overrides(node: ast.ClassDef) -> list[Use]:
    bases = [ast.unparse(base).removeprefix("trt.") for base in node.bases if ast.unparse(base).startswith("trt.")]
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")]
    return [Use(base, item.name, node.name, len(item.args.args) - 1) for base in bases for item in methods]


def _signature(parameters: str, result: str) -> Signature:
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(parameters):
        depth += (letter in "[(<") - (letter in "])") - (letter == ">" and parameters[index - 1] != "-")
        if letter == "," and depth == 0:
            parts.append(parameters[start:index])
            start = index + 1
    parts = [part.strip() for part in (*parts, parameters[start:])][1:]
    names = tuple(part.split(":")[0].strip() for part in parts)
    return Signature(names, sum(" = " not in part for part in parts), result.rpartition(".")[2])
