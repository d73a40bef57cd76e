from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from raycompare.experiment.file import Draft
from raycompare.records.run_folder import RunFolder
from raycompare.running import train_longer as module
from raycompare.running.display import Display
from raycompare.running.run import RunOptions
from raycompare.running.train_longer import train_longer
from tests import runs


@pytest.mark.parametrize("ended", [True, False])
def test_the_winner_of_a_run_is_trained_longer_and_the_gain_is_reported(
    ended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = runs.empty("worse", "better", training={"num_train_epochs": 2})
    before.confirm("worse", [0.70, 0.71, 0.72])
    before.confirm("better", [0.80, 0.81, 0.82])
    earlier = before.write(tmp_path / "before")
    if not ended:
        (tmp_path / "before" / "manifest.json").unlink()

    def run(draft: Draft, options: RunOptions, _: Display) -> RunFolder:
        experiment = draft.experiment()
        assert options.out == "out"
        assert [model.name for model in experiment.models] == ["better"]
        after = runs.empty("better", training=dict(experiment.training))
        after.confirm("better", [0.90, 0.91, 0.92])
        return after.write(tmp_path / "after")

    monkeypatch.setattr(module, "run", run)
    text = StringIO()
    after = train_longer(
        earlier.uri, 6, None, RunOptions(out="out"), Display(Console(file=text, width=300))
    )
    assert after == RunFolder.at(tmp_path / "after")
    assert text.getvalue().startswith("MCC 0.810 ± 0.010 after 2 epochs, 0.910 ± 0.010 after 6,")
    assert "longer training is better" in text.getvalue()
