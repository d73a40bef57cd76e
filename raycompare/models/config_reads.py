"""Finds the fields of its config that a model's code reads, from the source of its classes."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import getsource, isfunction
from itertools import chain
from types import ModuleType

from transformers import PreTrainedConfig, PreTrainedModel

_PACKAGE = "transformers."
_FUNCTIONS = ""
"""Key for all code of a module that is outside of classes."""


def fields_read(model: PreTrainedModel) -> set[str]:
    """Return the fields that the model's classes read, or functions of their modules.

    Classes that are not part of the model don't count: `qa_dropout` is read only by DistilBERT's
    head for questions. Names are those in the source, which may be aliases in the `attribute_map`.
    """
    classes = {base for module in model.modules() for base in type(module).__mro__}
    ours = {base for base in classes if base.__module__.startswith(_PACKAGE)}
    modules = {sys.modules[base.__module__] for base in ours}
    helpers = {helper for module in modules for helper in _helpers(module)}
    fields = [_reads(sys.modules[base.__module__]).get(base.__name__, ()) for base in ours]
    fields += [_reads(module).get(_FUNCTIONS, ()) for module in modules | helpers]
    return {*chain.from_iterable(fields), *_read_by_properties(model.config)}


def _helpers(module: ModuleType) -> Iterator[ModuleType]:
    """Yield the modules of the functions that a module imports, such as those that make masks."""
    for value in vars(module).values():
        if isfunction(value) and value.__module__.startswith(_PACKAGE):
            yield sys.modules[value.__module__]


@cache
def _reads(module: ModuleType) -> Mapping[str, set[str]]:
    """Return the fields of configs that a module reads, keyed by the name of the reading class."""
    fields: defaultdict[str, set[str]] = defaultdict(set)
    for node in ast.parse(getsource(module)).body:
        fields[node.name if isinstance(node, ast.ClassDef) else _FUNCTIONS].update(_fields_in(node))
    return fields


def _fields_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=owner, attr=field, ctx=ast.Load()) if _is_config(owner):
                yield field
            case ast.Call(
                func=ast.Name(id="getattr"), args=[owner, ast.Constant(value=str(field)), *_]
            ) if _is_config(owner):
                yield field


def _is_config(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Call(func=ast.Attribute(attr=name)):
            return name.endswith("config")
    return False


def _read_by_properties(config: PreTrainedConfig) -> set[str]:
    """Return the fields that properties of the config read, such as `sliding_window`."""
    return {
        node.attr
        for base in type(config).__mro__
        if base.__module__.startswith(_PACKAGE)
        for function in _properties(sys.modules[base.__module__])
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


@cache
def _properties(module: ModuleType) -> list[ast.FunctionDef]:
    return [
        node
        for node in ast.walk(ast.parse(getsource(module)))
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)
    ]
