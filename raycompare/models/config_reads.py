"""Which fields of its config the code of a model reads, found in the source of its classes."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import getsource, isfunction
from types import ModuleType

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

_PACKAGE = "transformers."
_FUNCTIONS = ""
"""Stands for all that is outside of the classes of a module."""

Reads = Mapping[str, frozenset[str]]
"""Fields of configs by the name of the class that reads them."""


def fields_read(model: PreTrainedModel) -> set[str]:
    """Return the fields that any class of the model's own modules reads, or a function beside them.

    A class that the model is not made of does not count: `qa_dropout` is read only by DistilBERT's
    head for questions. Names are those in the source, which may be others of the `attribute_map`.
    """
    classes = {base for module in model.modules() for base in type(module).__mro__}
    ours = {found for found in classes if found.__module__.startswith(_PACKAGE)}
    fields = {name for found in ours for name in _of_class(found)}
    modules = {sys.modules[found.__module__] for found in ours}
    helpers = {helper for module in modules for helper in _helpers(module)}
    for module in modules | helpers:
        fields |= _reads(module)[_FUNCTIONS]
    return fields | _read_by_properties(model.config)


def _of_class(found: type[nn.Module]) -> frozenset[str]:
    return _reads(sys.modules[found.__module__]).get(found.__name__, frozenset())


def _helpers(module: ModuleType) -> Iterator[ModuleType]:
    """Yield where the functions are from that the module imports, such as those that make masks."""
    for value in vars(module).values():
        if isfunction(value) and value.__module__.startswith(_PACKAGE):
            yield sys.modules[value.__module__]


@cache
def _reads(module: ModuleType) -> Reads:
    found: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
    for node in ast.parse(getsource(module)).body:
        owner = node.name if isinstance(node, ast.ClassDef) else _FUNCTIONS
        found[owner] |= set(_fields_in(node))
    return {_FUNCTIONS: frozenset(), **found}


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
    """Return the fields that stand behind properties of the config, such as `sliding_window`."""
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
        and any(
            isinstance(mark, ast.Name) and mark.id == "property" for mark in node.decorator_list
        )
    ]
