"""Where a trial stands, beside what the Trainer knows: goes into each of its checkpoints."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from raycompare.record import Evaluation


@dataclass
class Progress:
    """Evaluations and clocks of a trial so far."""

    evaluations: list[Evaluation] = field(default_factory=list)
    best: float | None = None
    """The best value of the experiment's metric."""
    since_best: int = 0
    """Evaluations since a value that was better by more than the threshold."""
    train_seconds: float = 0.0
    eval_seconds: float = 0.0

    @property
    def evaluated_at(self) -> int:
        """The step of the last evaluation; -1 before the first."""
        return self.evaluations[-1].step if self.evaluations else -1

    def to_json(self) -> str:
        """Write everything down; floats read back bit for bit."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        content: dict[str, Any] = json.loads(text)
        evaluations = [Evaluation(**row) for row in content.pop("evaluations")]
        return cls(evaluations=evaluations, **content)
