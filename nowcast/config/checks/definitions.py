"""Where a dotted name is defined, found in the source of packages: importing torch and Lightning takes seconds."""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PLAIN = (
    ast.ImportFrom,
    ast.ClassDef,
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
    ast.Expr,
    ast.If,
    ast.Try,
    ast.With,
    ast.Delete,
)


class NotThereError(Exception):
    """The source says that there is no such module or name in it; `near` are the names that there are."""

    def __init__(self, missing: str, near: list[str]) -> None:
        """Keep both."""
        super().__init__(missing)
        self.missing, self.near = missing, near


@dataclass(frozen=True)
class Source:
    """A module that was read, not imported."""

    name: str
    path: Path
    package: str  # that relative imports begin from
    tree: ast.Module

    def statements(self) -> Iterator[ast.stmt]:
        """Statements of the module, those below if, try and with included, those of functions and classes not."""
        queue: list[ast.stmt] = list(self.tree.body)
        while queue:
            statement = queue.pop(0)
            yield statement
            for name in ("body", "orelse", "finalbody"):
                if isinstance(statement, ast.If | ast.Try | ast.With):
                    queue += getattr(statement, name, [])
            for handler in getattr(statement, "handlers", []):
                queue += handler.body

    def names(self) -> set[str]:
        """Classes, functions and imports of the module, and modules of the package."""
        found = {one.name for one in self.statements() if isinstance(one, ast.ClassDef | ast.FunctionDef)}
        imports = [alias for one in self.statements() if isinstance(one, ast.ImportFrom) for alias in one.names]
        below = (path.stem for path in self.path.parent.iterdir() if self.path.name == "__init__.py")
        return {name for name in {*found, *(one.asname or one.name for one in imports), *below} if name.isidentifier()}


@dataclass(frozen=True)
class Definition:
    """Where something is defined, and how."""

    source: Source
    node: ast.ClassDef | ast.FunctionDef | ast.expr


NOWHERE = Source("", Path(), "", ast.Module([], []))
ABSENT = Definition(NOWHERE, ast.Constant(None))


@cache
def read_module(name: str) -> Source | None:
    """The module, or None where it is not there or not written in Python."""
    path = module_file(name)
    if path is None or path.suffix != ".py":
        return None
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return Source(name, path, package, ast.parse(path.read_text(encoding="utf-8")))


def module_file(name: str) -> Path | None:
    """Where a module lies; its packages are not imported."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    for part in rest:
        if path.name != "__init__.py":
            return None
        below = path.parent / part
        found = [file for file in (below / "__init__.py", below.with_suffix(".py")) if file.is_file()]
        if not found:
            return None
        path = found[0]
    return path


def find(target: str) -> Definition | None:
    """What a dotted name stands for; None where only an import could tell.

    Raises:
        NotThereError: There is no such thing.
    """
    parts = target.split(".")
    depth = next((n for n in range(len(parts), 0, -1) if module_file(".".join(parts[:n])) is not None), 0)
    if depth == 0:
        if importlib.util.find_spec(parts[0]) is not None:
            return None  # built in, or a folder without __init__.py
        raise NotThereError(parts[0], [])
    source = read_module(".".join(parts[:depth]))
    if source is None or depth == len(parts):
        return None  # compiled, or a module
    found = find_in(source, parts[depth])
    return found if len(parts) - depth == 1 else None  # else an attribute of a class


def find_in(source: Source, name: str, seen: frozenset[str] = frozenset()) -> Definition | None:
    """What a name stands for in a module; None where only an import could tell.

    Raises:
        NotThereError: The module has no such name.
    """
    if source.name in seen:
        return None
    certain = True
    for statement in source.statements():
        if isinstance(statement, ast.ClassDef | ast.FunctionDef) and statement.name == name:
            return Definition(source, statement)
        if isinstance(statement, ast.Assign | ast.AnnAssign) and (value := _assigned(statement, name)):
            return Definition(source, value)
        if isinstance(statement, ast.ImportFrom):
            found, ends = _in_import(source, statement, name, seen | {source.name})
            if ends:
                return found
            certain &= found is ABSENT
        certain &= _is_plain(statement, name) or _gives_others(statement, source, name)
    if certain:
        raise NotThereError(name, sorted(source.names()))
    return None


def _in_import(
    source: Source, statement: ast.ImportFrom, name: str, seen: frozenset[str]
) -> tuple[Definition | None, bool]:
    """What a statement imports under a name, and whether that is the end of the search."""
    for alias in statement.names:
        if (alias.asname or alias.name) == name:
            return _imported(source, statement, alias.name, seen), True
    if statement.names[0].name == "*":
        found = _imported(source, statement, name, seen, ABSENT)
        return found, found is not None and found is not ABSENT
    return ABSENT, False


def _is_plain(statement: ast.stmt, name: str) -> bool:
    """Whether a statement that defines no `name` to be seen defines none out of sight either."""
    if isinstance(statement, ast.Import):
        return all((alias.asname or alias.name) != name for alias in statement.names)
    if isinstance(statement, ast.FunctionDef):
        return statement.name != "__getattr__"
    return isinstance(statement, PLAIN)


def _gives_others(statement: ast.stmt, source: Source, name: str) -> bool:
    """Whether a statement is a `__getattr__` of a module that lists what it gives, and the name is not in the list."""
    if not (isinstance(statement, ast.FunctionDef) and statement.name == "__getattr__"):
        return False
    listed = (_assigned(one, "__all__") for one in source.statements() if isinstance(one, ast.Assign | ast.AnnAssign))
    names = next((value for value in listed if isinstance(value, ast.List | ast.Tuple)), None)
    return names is not None and all(isinstance(one, ast.Constant) and one.value != name for one in names.elts)


def _assigned(statement: ast.Assign | ast.AnnAssign, name: str) -> ast.expr | None:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return statement.value if any(isinstance(one, ast.Name) and one.id == name for one in targets) else None


def _imported(
    source: Source, statement: ast.ImportFrom, name: str, seen: frozenset[str], absent: Definition | None = None
) -> Definition | None:
    """What a name stands for in the module that a statement imports from; `absent` if that has none."""
    parts = source.package.split(".")
    base = parts[: len(parts) - statement.level + 1] if statement.level else []
    module = ".".join([*base, *([statement.module] if statement.module else [])])
    found = read_module(module)
    if found is None:
        return None
    try:
        return find_in(found, name, seen)
    except NotThereError:  # where it is named, a module of that package, most often
        return absent
