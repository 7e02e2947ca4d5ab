"""What constructors take, read from their source: importing torch and Lightning to ask them takes seconds."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from nowcast.config.checks.definitions import Definition, NotThereError, Source, find, find_in

BUILTIN = {"int", "float", "str", "bool", "None", "Any", "object"}
LISTS = {"list", "List", "tuple", "Tuple", "Sequence", "Iterable", "Collection", "set", "Set", "Container"}
MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping"}


@dataclass
class Signature:
    """Arguments of a constructor or function.

    Attributes:
        annotations: Name → annotation; None = it has none.
        source: Where names in annotations are looked up.
        without: Names whose default is None, whatever the annotation says.
        open: Takes any name.
    """

    source: Source
    annotations: dict[str, ast.expr | None] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)
    open: bool = False

    def refuses(self, name: str, value: object) -> str:
        """What the argument must be, in words, if it cannot be `value`; else nothing."""
        annotation = self.annotations.get(name)
        if annotation is None or (value is None and name in self.without) or fits(value, annotation, self.source):
            return ""
        text = words(annotation, self.source)
        return text + (" or null" if name in self.without and "null" not in text else "")


def signature(target: str) -> Signature | None:
    """What can be said of `target` as an argument's value; None where only an import could tell.

    Raises:
        NotThereError: There is no such thing.
    """
    found = find(target)
    if found is None or isinstance(found.node, ast.expr):
        return None
    return _of_function(found.source, found.node) if isinstance(found.node, ast.FunctionDef) else _of_class(found)


def _of_class(found: Definition) -> Signature | None:
    assert isinstance(found.node, ast.ClassDef)
    made = {one.name: one for one in found.node.body if isinstance(one, ast.FunctionDef)}
    if "__new__" in made:
        return None
    if "__init__" in made:
        return _of_function(found.source, made["__init__"], method=True)
    bases = [_base(found.source, base) for base in found.node.bases]
    if not any("dataclass" in ast.unparse(decorator) for decorator in found.node.decorator_list):
        if not found.node.bases:
            return Signature(found.source)
        return _of_class(bases[0]) if bases[0] is not None else None
    if any(base is None for base in bases):
        return None
    result = Signature(found.source)
    for base in reversed(bases):
        inherited = _of_class(base) if base is not None else None
        if inherited is None:
            return None
        result.annotations |= inherited.annotations
        result.without |= inherited.without
    for one in found.node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and "ClassVar" not in _text(one):
            result.annotations[one.target.id] = one.annotation
            result.without |= {one.target.id} if _is_none(one.value) else set()
    return result


def _base(source: Source, base: ast.expr) -> Definition | None:
    if not isinstance(base, ast.Name):
        return None
    try:
        found = find_in(source, base.id)
    except NotThereError:
        return None
    return found if found is not None and isinstance(found.node, ast.ClassDef) else None


def _text(statement: ast.AnnAssign) -> str:
    return ast.unparse(statement.annotation)


def _of_function(source: Source, function: ast.FunctionDef, method: bool = False) -> Signature:
    given = function.args
    arguments = [*given.posonlyargs, *given.args][1 if method else 0 :] + given.kwonlyargs
    positional, named = [*given.posonlyargs, *given.args], zip(given.kwonlyargs, given.kw_defaults, strict=True)
    defaults = [*zip(positional[len(positional) - len(given.defaults) :], given.defaults, strict=True), *named]
    without = {one.arg for one, default in defaults if _is_none(default)}
    return Signature(source, {one.arg: one.annotation for one in arguments}, without, open=given.kwarg is not None)


def _is_none(default: ast.expr | None) -> bool:
    return isinstance(default, ast.Constant) and default.value is None


def fits(value: object, annotation: ast.expr, source: Source) -> bool:  # noqa: C901 (one case each)
    """Whether a plain value of a config may be what an annotation asks for; True where only an import could tell."""
    if isinstance(annotation, ast.Constant):
        if isinstance(annotation.value, str):  # an annotation in quotes
            return fits(value, ast.parse(annotation.value, mode="eval").body, source)
        return value is None if annotation.value is None else True
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return fits(value, annotation.left, source) or fits(value, annotation.right, source)
    if isinstance(annotation, ast.Name | ast.Attribute):
        return _fits_name(value, annotation, source)
    if not isinstance(annotation, ast.Subscript):
        return True
    name, inside = ast.unparse(annotation.value).rpartition(".")[2], annotation.slice
    parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    if name == "Optional":
        return value is None or fits(value, inside, source)
    if name == "Union":
        return any(fits(value, part, source) for part in parts)
    if name == "Literal":
        return any(ast.unparse(part) == repr(value) for part in parts) or not all(
            isinstance(part, ast.Constant) for part in parts
        )
    if name in ("Annotated", "Final", "InitVar"):
        return fits(value, parts[0], source)
    if name in LISTS:
        return isinstance(value, list) and _fit_elements(value, name, parts, source)
    if name in MAPPINGS:
        return isinstance(value, dict) and all(fits(one, parts[-1], source) for one in value.values())
    return True


def _fit_elements(values: list[object], name: str, parts: list[ast.expr], source: Source) -> bool:
    if name in ("tuple", "Tuple") and ast.unparse(parts[-1]) != "...":
        return len(values) == len(parts) and all(
            fits(one, part, source) for one, part in zip(values, parts, strict=True)
        )
    return all(fits(one, parts[0], source) for one in values)


def _fits_name(value: object, annotation: ast.Name | ast.Attribute, source: Source) -> bool:
    name = ast.unparse(annotation).rpartition(".")[2]
    plain = {
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "Path": isinstance(value, str),
        "Any": True,
        "object": True,
        **dict.fromkeys(LISTS, isinstance(value, list)),
        **dict.fromkeys(MAPPINGS, isinstance(value, dict)),
    }
    if name in plain:
        return plain[name]
    if isinstance(annotation, ast.Attribute) or isinstance(value, dict):
        return True
    try:
        found = find_in(source, name)
    except NotThereError:
        return True
    if found is None or isinstance(found.node, ast.FunctionDef):
        return True
    if isinstance(found.node, ast.ClassDef):
        return _may_be_plain(found.node)
    return fits(value, found.node, found.source)


def _may_be_plain(node: ast.ClassDef) -> bool:
    """Whether a plain value may stand for an object of this class, as the name of an enumeration's member does."""
    bases = [ast.unparse(base) for base in node.bases]
    return any(sign in base for base in bases for sign in ("Enum", "str", "int", "Tuple", "Dict"))


def words(annotation: ast.expr, source: Source) -> str:
    """An annotation as a user reads it."""
    names = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "None": "null"}
    parts = [names.get(part, part) for part in _alternatives(annotation, source)]
    *first, last = sorted(dict.fromkeys(parts), key=lambda part: part == "null")
    return f"{', '.join(first)} or {last}" if first else last


def _alternatives(node: ast.expr, source: Source) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    if isinstance(node, ast.BinOp):
        yield from _alternatives(node.left, source)
        yield from _alternatives(node.right, source)
    elif isinstance(node, ast.Subscript):
        yield from _of_subscript(ast.unparse(node.value).rpartition(".")[2], node, source)
    elif isinstance(node, ast.Name) and node.id not in BUILTIN and (found := _alias(source, node.id)) is not None:
        assert isinstance(found.node, ast.expr)
        yield from _alternatives(found.node, found.source)
    else:
        yield ast.unparse(node)


def _of_subscript(name: str, node: ast.Subscript, source: Source) -> Iterator[str]:
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name in ("Union", "Optional"):
        for part in parts:
            yield from _alternatives(part, source)
        yield from ["None"] if name == "Optional" else []
    elif name == "Literal":
        yield from (ast.unparse(part).strip("'") for part in parts)
    elif name in LISTS:
        yield f"a list, {ast.unparse(node)}"
    else:
        yield ast.unparse(node)


def _alias(source: Source, name: str) -> Definition | None:
    try:
        found = find_in(source, name)
    except NotThereError:
        return None
    return found if found is not None and isinstance(found.node, ast.expr) else None
