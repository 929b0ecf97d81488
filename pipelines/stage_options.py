"""The options of the stages, read from their source: importing every stage to ask its parser would take seconds.

``tests/pipelines/test_completion.py`` compares them with the parsers.
"""

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent


@dataclass
class StageOptions:
    """What can be typed after a stage."""

    flags: list[str] = field(default_factory=list)  # options without a value, in the order of the source
    choices: dict[str, list[str]] = field(default_factory=dict)  # option with a value -> its choices; empty if any
    positional: list[str] = field(default_factory=list)  # choices of the arguments without a name
    files: bool = False  # whether there is an argument without a name that takes anything


def stage_options(stage: str) -> StageOptions:
    """Return the options of a stage, those of every stage first."""
    found = StageOptions()
    _collect("pipelines.__main__", "build_parser", found)
    _collect(f"pipelines.{stage}", "add_arguments", found)
    return found


@cache
def _module(name: str) -> ast.Module:
    path = SOURCE.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _collect(module: str, function: str, found: StageOptions) -> None:
    """Add what the calls of ``add_argument`` in a function add, and in the functions that it gives its parser to."""
    (body,) = (node for node in _module(module).body if isinstance(node, ast.FunctionDef) and node.name == function)
    for call in (node for node in ast.walk(body) if isinstance(node, ast.Call)):
        given = any(isinstance(argument, ast.Name) and argument.id == "parser" for argument in call.args)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
            _add(module, call, found)
        elif isinstance(call.func, ast.Name) and given:
            _collect(_imports(module).get(call.func.id, module), call.func.id, found)


def _add(module: str, call: ast.Call, found: StageOptions) -> None:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    choices = _strings(module, keywords["choices"]) if "choices" in keywords else []
    action = keywords.get("action")
    for name in _strings(module, call.args[0]):
        if not name.startswith("-"):
            found.positional += choices
            found.files |= not choices
        elif isinstance(action, ast.Constant) and action.value == "store_true":
            found.flags.append(name)
        else:
            found.choices[name] = choices


def _imports(module: str) -> dict[str, str]:
    """Return name -> module that it is imported from."""
    imports = (node for node in _module(module).body if isinstance(node, ast.ImportFrom))
    return {alias.asname or alias.name: str(node.module) for node in imports for alias in node.names}


def _strings(module: str, node: ast.expr | None) -> list[str]:
    """Return the texts of an expression: a tuple, the keys of a dictionary, the arguments of a Literal."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Call(args=parts):
            return [text for part in parts for text in _strings(module, part)]
        case ast.Dict(keys=keys):
            return [text for key in keys for text in _strings(module, key)]
        case ast.Starred(value=part) | ast.Subscript(slice=part):
            return _strings(module, part)
        case ast.Name(id=name):
            source = _imports(module).get(name, module)
            return _strings(source, _assigned(source, name))
    return []


def _assigned(module: str, name: str) -> ast.expr | None:
    """Return what a name of a module is set to."""
    for node in _module(module).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                return value
            case ast.AnnAssign(target=ast.Name(id=found), value=annotated) if found == name:
                return annotated
    return None
