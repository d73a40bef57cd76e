"""Label weights in the training loss, for data with rare labels."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from raycompare.data.tokens import Ints

CLASS_WEIGHTS = "class_weights"
"""Key in `training`."""
NONE, BALANCED = "none", "balanced"
WEIGHTINGS = (NONE, BALANCED)


def balanced_weights(labels: Ints, classes: int) -> torch.Tensor:
    """Return rows / (labels present * rows of the label), scikit-learn's 'balanced'.

    The result has shape [classes]; labels without rows have weight 0.
    """
    # Imported here because each worker would import scikit-learn, and scipy.stats with it.
    from sklearn.utils.class_weight import compute_class_weight  # noqa: PLC0415

    present = np.unique(labels)
    weights = np.zeros(classes)
    weights[present] = compute_class_weight("balanced", classes=present, y=labels)
    return torch.tensor(weights, dtype=torch.float32)


def weighted_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Return the mean cross-entropy of the rows, weighted by label."""
    own = weights.to(logits.device)
    return cross_entropy(logits.float(), labels, weight=own, label_smoothing=smoothing)
