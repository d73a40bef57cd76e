"""Screening: ranks models on frozen features, so that only the most promising are trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from raycompare.cluster.tasks import Pending, run_alone
from raycompare.experiment.settings import ScreenSpec
from raycompare.experiment.spec import Experiment, ModelSpec
from raycompare.formatting import duration, number_of
from raycompare.records.messages import TaskFailure
from raycompare.records.rows import Screened, ScreenRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import drop_screened
from raycompare.records.snapshot import SCREEN_FOLDER
from raycompare.training.screening import ScreenTask, screen_model
from raycompare.tuning.plans import make_plan
from raycompare.tuning.tuner import Shared, task_of

VERSION = 1
"""Version of the scores; increase it when their computation changes, to ignore cached ones."""


@dataclass(frozen=True)
class Screening:
    """Screens the models of an experiment, with a cache next to its run folders."""

    shared: Shared
    identities: Mapping[str, str]
    say: Callable[[str], None]

    @property
    def _experiment(self) -> Experiment:
        return self.shared.experiment

    def select(self, settings: ScreenSpec) -> Shared:
        """Screen the models, and return `shared` with only those that will be trained."""
        records = self.shared.folder.read_rows(ScreenRecord)
        if records:
            self.say(f"screen: {number_of(len(records), 'model')} already screened")
        else:
            records = rank(settings, self._screen_models(settings))
            self.shared.folder.write_rows(records, ScreenRecord)
            self._say_ranks(records, settings)
        return self.shared.for_models_of(drop_screened(self._experiment, records))

    def _screen_models(self, settings: ScreenSpec) -> list[Screened]:
        """Screen the models that are not cached, as many at once as the cluster can hold."""
        models = self._experiment.models
        cached = {model.name: self._read_cached(model, settings) for model in models}
        running = {m.name: self._start(m, settings) for m in models if cached[m.name] is None}
        return [
            cached[model.name] or self._collect(model, running[model.name], settings)
            for model in models
        ]

    def _start(self, model: ModelSpec, settings: ScreenSpec) -> Pending[Screened]:
        return run_alone(
            _screen,
            self.shared,
            model.name,
            settings.budget_rows,
            resources=self.shared.resources[model.name],
            retries=self._experiment.failure.max_failures,
        )

    def _collect(
        self, model: ModelSpec, running: Pending[Screened], settings: ScreenSpec
    ) -> Screened:
        screened = running.result()
        if isinstance(screened, TaskFailure):
            return Screened(model=model.name, rows=settings.budget_rows, cause=screened.cause)
        self._cache.write_text(self._file(model, settings), json.dumps(asdict(screened)) + "\n")
        return screened

    @property
    def _cache(self) -> RunFolder:
        return self.shared.folder.parent.folder(SCREEN_FOLDER)

    def _file(self, model: ModelSpec, settings: ScreenSpec) -> str:
        length = self.shared.lengths[model.name]
        content = [self.identities[model.name], settings.budget_rows, length, VERSION]
        seed = self._experiment.seed
        digest = hashlib.sha256(json.dumps([*content, seed]).encode()).hexdigest()
        return f"{digest[:32]}.json"

    def _read_cached(self, model: ModelSpec, settings: ScreenSpec) -> Screened | None:
        name = self._file(model, settings)
        if not self._cache.exists(name):
            return None
        earlier = Screened(**json.loads(self._cache.read_text(name)))
        return replace(earlier, model=model.name, cached=True)

    def _say_ranks(self, records: list[ScreenRecord], settings: ScreenSpec) -> None:
        kept = sum(record.kept for record in records)
        models = number_of(len(records), "model")
        self.say(f"screen: {kept} of {models} will be trained, ranked by {settings.score}")
        for record in records:
            self.say(f"  {_describe(record, settings)}")


def _describe(record: ScreenRecord, settings: ScreenSpec) -> str:
    if record.cause:
        return f"{record.model}  kept because it could not be screened ({record.cause})"
    values = f"{settings.score} {record.score(settings.score):.3f}  probe {record.probe:.3f}"
    took = "cached" if record.cached else duration(record.seconds)
    return f"[{record.rank}] {record.model}  {values}  {took}{'' if record.kept else '  dropped'}"


def _screen(shared: Shared, model: str, rows: int) -> Screened:
    plan = make_plan("tune", 0, model, {}, seed=shared.experiment.seed)
    return screen_model(ScreenTask(trial=task_of(shared, plan, shared.resources[model]), rows=rows))


def rank(settings: ScreenSpec, models: list[Screened]) -> list[ScreenRecord]:
    """Rank models by score, ties in the order given; models without a score are last, all kept."""
    scored = [model for model in models if not model.cause]
    scored.sort(key=lambda model: -model.score(settings.score))
    return [
        *(
            ScreenRecord(**asdict(model), rank=rank, kept=rank <= settings.keep)
            for rank, model in enumerate(scored, 1)
        ),
        *(ScreenRecord(**asdict(model), rank=None, kept=True) for model in models if model.cause),
    ]
