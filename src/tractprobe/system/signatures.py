"""What arguments a function or class takes, as its source says: nothing is imported, since that can take seconds."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_NUMBERS = {"bool": "true or false", "int": "a whole number", "float": "a number", "None": "null"}
_ALSO_NUMBERS = ("Tensor",)  # which no configuration can hold


@dataclass(frozen=True)
class Parameter:
    """An argument: its name, and the kinds of values that its annotation names."""

    name: str
    kinds: tuple[str, ...]
    required: bool

    @property
    def expected(self) -> str | None:
        """What is expected of an argument that is a number, a truth value or nothing; ``None`` for any other.

        >>> Parameter("order", ("int", "None"), False).expected
        'a whole number or null'
        """
        kinds = [kind for kind in self.kinds if kind not in _ALSO_NUMBERS]
        kinds = [kind for kind in kinds if kind != "int" or "float" not in kinds]
        return " or ".join(_NUMBERS[kind] for kind in kinds) if kinds and set(kinds) <= set(_NUMBERS) else None


@cache
def parameters(module: str, attribute: str) -> tuple[Parameter, ...] | None:
    """Return the arguments of a function or class of a module; ``None`` where the source does not tell.

    That is so where it is not Python, or where there are arguments of any name.
    """
    try:
        return _parameters(module, attribute)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _parameters(module: str, attribute: str) -> tuple[Parameter, ...] | None:
    file = _file_of(module)
    if file is None:
        return None
    for statement in reversed(_parsed(file).body):
        match statement:
            case ast.FunctionDef(name=name) if name == attribute:
                return _of_function(statement)
            case ast.ClassDef(name=name) if name == attribute:
                return _of_class(module, statement)
            case ast.ImportFrom(module=str(other), level=0, names=names):
                origin = next((each.name for each in names if (each.asname or each.name) == attribute), None)
                if origin is not None:
                    return _parameters(other, origin)
    return None


def _of_class(module: str, node: ast.ClassDef) -> tuple[Parameter, ...] | None:
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _of_function(statement, method=True)
    inherited: dict[str, Parameter] = {}
    for base in reversed([base for base in node.bases if ast.unparse(base) not in ("ABC", "object")]):
        of_base = _parameters(module, base.id) if isinstance(base, ast.Name) else None
        if of_base is None:
            return None
        inherited |= {parameter.name: parameter for parameter in of_base}
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return tuple(inherited.values())
    return tuple((inherited | {parameter.name: parameter for parameter in _fields(node)}).values())


def _fields(node: ast.ClassDef) -> Iterator[Parameter]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            kinds = _kinds(statement.annotation)
            if not any("ClassVar" in kind for kind in kinds):
                yield Parameter(statement.target.id, kinds, statement.value is None)


def _of_function(node: ast.FunctionDef, *, method: bool = False) -> tuple[Parameter, ...] | None:
    given = node.args
    if given.vararg or given.kwarg:
        return None
    positional = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    each = [*zip(positional, defaults, strict=True), *zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return tuple(Parameter(own.arg, _kinds(own.annotation), default is None) for own, default in each[method:])


def _kinds(annotation: ast.expr | None) -> tuple[str, ...]:
    match annotation:
        case None:
            return ()
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _kinds(left) + _kinds(right)
        case ast.Constant(value=str(text)):
            return _kinds(ast.parse(text, mode="eval").body)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=part):
            return (*_kinds(part), "None")
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=parts)):
            return tuple(kind for part in parts for kind in _kinds(part))
    return (ast.unparse(annotation),)


def _file_of(module: str) -> Path | None:
    """Return a module's file. Only its first package is asked for: finding what lies deeper would import that."""
    top, *names = module.split(".")
    spec = find_spec(top)
    if spec is None or not names:
        return Path(spec.origin) if spec is not None and spec.origin else None
    places = (Path(folder, *names) for folder in spec.submodule_search_locations or ())
    files = (file for place in places for file in (place.with_suffix(".py"), place / "__init__.py"))
    return next((file for file in files if file.is_file()), None)


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
