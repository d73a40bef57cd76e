"""The study by plain Ray Tune: a function around the Trainer, as Ray's own guide writes it.

    python -m benchmarks.arms.ray_tune REQUEST.json ANSWER.json

From https://docs.ray.io/en/latest/train/getting-started-transformers.html: rows are loaded and
tokenised within the function, texts padded to the maximum, and every save of the Trainer is
reported with its checkpoint. From Ray's text classification example
(https://docs.ray.io/en/latest/train/examples/transformers/huggingface_text_classification.html):
one ASHAScheduler over all trials, and one checkpoint kept.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from benchmarks.arms.plain import METRIC
from benchmarks.arms.request import Answer, Request, Trained
from benchmarks.arms.script import trainer_of


class ReportCallback(TrainerCallback):
    """Reports metrics and checkpoint at every save, as Ray's own callback does in Ray Train."""

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Report what the Trainer logged last, with the checkpoint."""
        metrics: dict[str, Any] = {}
        for row in state.log_history:
            metrics |= row
        assert args.output_dir is not None
        folder = get_last_checkpoint(args.output_dir)  # type: ignore[no-untyped-call]
        tune.report(
            {**metrics, "step": state.global_step},
            checkpoint=tune.Checkpoint.from_directory(folder) if folder else None,
        )


def train(config: dict[str, Any]) -> None:
    """Train one configuration: the trainable."""
    request = Request.read(Path(config["request"]))
    index = config["index"]
    arguments = request.configurations[index].arguments
    saving = {
        "save_strategy": arguments["eval_strategy"],
        "save_steps": arguments.get("eval_steps", 500),
        "save_total_limit": 1,
    }
    trainer_of(request, index, request.padding, saving, ReportCallback()).train()


def search(request: Request, path: Path) -> Answer:
    """Run the study; Ray must have been started."""
    began = perf_counter()
    results = tune.Tuner(
        tune.with_resources(train, {"cpu": 1, "gpu": request.gpus_per_trial}),
        param_space={
            "request": str(path),
            "index": tune.grid_search(list(range(len(request.configurations)))),
        },
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            max_concurrent_trials=request.workers,
            scheduler=ASHAScheduler(
                time_attr="step",
                max_t=request.max_steps,
                grace_period=request.grace_steps,
                reduction_factor=request.reduction_factor,
            ),
        ),
        run_config=tune.RunConfig(
            name="plain",
            storage_path=request.work,
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        ),
    ).fit()
    seconds = perf_counter() - began
    if results.num_errors:
        raise results.errors[0]
    trials = [_trained(results[place]) for place in range(len(results))]
    return Answer(search_seconds=seconds, trials=trials)


def _trained(result: tune.Result) -> Trained:
    assert result.config is not None
    assert result.metrics is not None
    reports = result.metrics_dataframe
    best = None if reports is None else float(reports[METRIC].max())
    return Trained(index=result.config["index"], best=best, steps=result.metrics.get("step", 0))


def main(request: Path, answer: Path) -> None:
    """Run the study that the request describes."""
    ray.init()
    search(Request.read(request), request).write(answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
