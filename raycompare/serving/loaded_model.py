"""A saved model, loaded to predict as it did in its test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from raycompare.data.tokenize import padding_of
from raycompare.models.saved import NOTHING, Trust, load_saved
from raycompare.records.run_folder import RunFolder
from raycompare.serving.winner import saved_at
from raycompare.training.classifier import Classifier, RawTexts
from raycompare.training.trainer import with_precision

BATCH_SIZE = 32

Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A saved model on a device, with its label names."""

    classifier: Classifier
    labels: tuple[str, ...]
    """Label names, in the order of the probabilities."""

    @classmethod
    def at(cls, place: RunFolder, trust: Trust = NOTHING) -> LoadedModel:
        """Load a model onto the GPU, or the CPU if there is none; copy a remote model first.

        Truncation and pooling are those of training; the precision is the default of trials on this
        device.

        Raises:
            UserError: the folder has no model, it is damaged, or its code is not trusted.
        """
        saved = saved_at(place, trust)
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with TemporaryDirectory() as copied:
            local = place.get_folder("", Path(copied))
            model, tokenizer = load_saved(Path(local), trust)
        model.to(device)  # type: ignore[arg-type]
        classifier = Classifier(
            model=model,
            tokenizer=tokenizer,
            padding=padding_of(tokenizer),
            max_length=saved.max_length,
            device=device,
            precision="bf16" if "bf16" in with_precision({}) else "fp32",
        )
        return cls(classifier=classifier, labels=saved.label_names)

    def probabilities(
        self, columns: Sequence[Sequence[str]], batch_size: int = BATCH_SIZE
    ) -> Floats:
        """Return float32 of shape [texts, labels], in the order of the texts.

        Args:
            columns: one sequence of texts, or two of the same length for pairs.
            batch_size: texts of similar length that are computed together.
        """
        texts = RawTexts(tuple(map(tuple, columns)))
        answers = np.empty((len(texts), len(self.labels)), dtype=np.float32)
        order = texts.by_length(len(texts))
        for at in range(0, len(order), batch_size):
            rows = order[at : at + batch_size]
            answers[rows] = self.classifier.probabilities(texts.part(rows)).numpy()
        return answers
