"""The stage before the search: a cheap look at every model, so that only the likely ones train."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from raycompare.cluster.tasks import Pending, run_alone
from raycompare.experiment.settings import ScreenSpec
from raycompare.experiment.spec import Experiment, ModelSpec
from raycompare.formatting import duration
from raycompare.records.messages import TaskFailure
from raycompare.records.rows import Screened, ScreenRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import drop_screened
from raycompare.records.snapshot import SCREEN_FOLDER
from raycompare.training.screening import ScreenTask, screen_model
from raycompare.tuning.plans import make_plan
from raycompare.tuning.tuner import Shared, task_of

VERSION = 1
"""Of the scores; raised when they are computed in another way, so that no old one is read."""


@dataclass(frozen=True)
class Screening:
    """The models of one experiment, and where what is known of them is kept."""

    shared: Shared
    identities: Mapping[str, str]
    say: Callable[[str], None]

    @property
    def experiment(self) -> Experiment:
        """What is run."""
        return self.shared.experiment

    def select(self, settings: ScreenSpec) -> Shared:
        """Return what is shared, with the models alone that go on."""
        records = self.shared.folder.read_rows(ScreenRecord)
        if records:
            self.say(f"screen: {len(records)} models were screened before")
        else:
            records = rank(settings, self._screen_models(settings))
            self.shared.folder.write_rows(records, ScreenRecord)
            self._tell(records, settings)
        return replace(self.shared, experiment=drop_screened(self.experiment, records))

    def _screen_models(self, settings: ScreenSpec) -> list[Screened]:
        """Look at all models that are not known, as many at once as there is room for."""
        models = self.experiment.models
        known = {model.name: self._read_cached(model, settings) for model in models}
        running = {
            model.name: self._start(model, settings)
            for model in models
            if known[model.name] is None
        }
        found = []
        for model in models:
            screened = known[model.name] or self._collect(model, running[model.name], settings)
            found.append(screened)
        return found

    def _start(self, model: ModelSpec, settings: ScreenSpec) -> Pending[Screened]:
        return run_alone(
            _screen,
            self.shared,
            model.name,
            settings.budget_rows,
            resources=self.shared.resources[model.name],
            retries=self.experiment.failure.max_failures,
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
        seed = self.experiment.seed
        digest = hashlib.sha256(json.dumps([*content, seed]).encode()).hexdigest()
        return f"{digest[:32]}.json"

    def _read_cached(self, model: ModelSpec, settings: ScreenSpec) -> Screened | None:
        """Return what an earlier run has found of the same weights on the same data."""
        name = self._file(model, settings)
        if not self._cache.exists(name):
            return None
        earlier = Screened(**json.loads(self._cache.read_text(name)))
        return replace(earlier, model=model.name, cached=True)

    def _tell(self, records: list[ScreenRecord], settings: ScreenSpec) -> None:
        kept = sum(record.kept for record in records)
        self.say(f"screen: {kept} of {len(records)} models go on, by {settings.score}")
        for record in records:
            self.say(f"  {_in_words(record, settings)}")


def _in_words(record: ScreenRecord, settings: ScreenSpec) -> str:
    if record.cause:
        return f"{record.model}  kept, since it could not be screened ({record.cause})"
    values = f"{settings.score} {record.score(settings.score):.3f}  probe {record.probe:.3f}"
    took = "known" if record.cached else duration(record.seconds)
    return f"[{record.rank}] {record.model}  {values}  {took}{'' if record.kept else '  left out'}"


def _screen(shared: Shared, model: str, rows: int) -> Screened:
    """Screen in a worker of Ray."""
    plan = make_plan("tune", 0, model, {}, seed=shared.experiment.seed)
    return screen_model(ScreenTask(trial=task_of(shared, plan, shared.resources[model]), rows=rows))


def rank(settings: ScreenSpec, found: list[Screened]) -> list[ScreenRecord]:
    """Order models by their score, best first; those without one come last, and all of them stay.

    Of equal scores the one that stands first in the experiment is first.
    """
    scored = sorted(
        (one for one in found if not one.cause), key=lambda one: -one.score(settings.score)
    )
    return [
        *(
            ScreenRecord(**asdict(one), rank=rank, kept=rank <= settings.keep)
            for rank, one in enumerate(scored, 1)
        ),
        *(ScreenRecord(**asdict(one), rank=None, kept=True) for one in found if one.cause),
    ]
