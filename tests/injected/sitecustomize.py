"""Faults that can't be had otherwise; put this folder on PYTHONPATH and name one in INJECT.

Python imports a module of this name when it starts, so that workers of Ray have it too.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOST_TEXTS = 3


class Injector(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Changes raycompare.training.trainer when it is first imported."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != "raycompare.training.trainer":
            return None
        sys.meta_path.remove(self)
        self.real = importlib.util.find_spec(name)
        assert self.real is not None
        return importlib.util.spec_from_loader(name, self, origin=self.real.origin)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return importlib.util.module_from_spec(self.real)

    def exec_module(self, module: ModuleType) -> None:
        self.real.loader.exec_module(module)
        step = module.LengthTrainer.training_step

        def small_memory(trainer: Any, model: Any, inputs: Any, *rest: Any) -> Any:
            torch = sys.modules["torch"]
            if max(len(part["labels"]) for part in inputs[module.PARTS]) > MOST_TEXTS:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return step(trainer, model, inputs, *rest)

        module.LengthTrainer.training_step = small_memory


if os.environ.get("INJECT") == "memory":
    sys.meta_path.insert(0, Injector())
