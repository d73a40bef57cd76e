"""What a notebook uses; the examples of docs/python-api.md are run as they stand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from ray import tune

import raycompare
from raycompare import Experiment, load_run, run
from raycompare.api import Run
from raycompare.errors import ExperimentError, UserError
from raycompare.experiment.file import read_draft, read_experiment
from raycompare.experiment.spec import DataSpec, ModelSpec
from raycompare.records.run_folder import RunFolder
from raycompare.running import launch
from raycompare.running.run import RunOptions
from tests import ROOT, runs

PAGE = ROOT / "docs" / "python-api.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
RUN_ID = "20260102-030405-abc123"


@pytest.fixture
def loaded(tmp_path: Path) -> Run:
    made = runs.typical()
    made.baseline(0.76)
    return load_run(made.write(tmp_path).uri)


def experiment(**changes: Any) -> Experiment:
    sections: dict[str, Any] = {"name": "n", "data": {"dataset": "d"}, "models": ["a", "b"]}
    return Experiment(**{**sections, **changes})


def imported(code: str) -> set[str]:
    program = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_import_is_light() -> None:
    assert not imported("import raycompare") & {"ray", "torch", "pandas", "pydantic", "matplotlib"}


def test_a_run_is_loaded_without_ray_or_torch() -> None:
    code = "from raycompare import Experiment, load_run; load_run"
    assert not imported(code) & {"ray", "torch", "transformers", "datasets"}


@pytest.mark.timeout(120)
def test_run_is_the_function_also_where_the_module_was_imported_before() -> None:
    code = "from raycompare.running.run import RunOptions; from raycompare import run"
    code += "; assert run.__module__ == 'raycompare.running.launch'"
    code += "; import raycompare; assert raycompare.run is run"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        raycompare.unknown  # noqa: B018
    assert set(raycompare.__all__) <= set(dir(raycompare))


def test_an_experiment_is_the_same_from_file_dict_and_arguments(tmp_path: Path) -> None:
    content = {
        "name": "n",
        "data": {"dataset": "d", "splits": {"validation": 0.1}},
        "models": ["a", {"name": "b", "checkpoint": "x/b", "config": {"num_hidden_layers": 2}}],
        "search_space": {"learning_rate": {"loguniform": [1e-5, 1e-4]}},
        "tune": {"num_samples": 3},
    }
    path = tmp_path / "experiment.yaml"
    path.write_text(json.dumps(content))
    from_file = Experiment.from_file(path)
    assert from_file == Experiment.from_dict(content) == Experiment(**content)
    assert from_file.content_hash == read_draft(path).experiment().content_hash
    assert isinstance(from_file, Experiment)


def test_an_experiment_takes_its_types_too() -> None:
    made = experiment(data=DataSpec(dataset="d"), models=(ModelSpec(name="a", checkpoint="a"), "b"))
    assert made == experiment()


def test_overrides_are_those_of_set(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("name: n\ndata: {dataset: d}\nmodels: [a]\n")
    assert Experiment.from_file(path, ["tune.num_samples=7"]).tune.num_samples == 7


def test_mistakes_come_all_at_once_by_dotted_path() -> None:
    with pytest.raises(ExperimentError) as caught:
        experiment(models=[], tune={"num_sample": 4}, sed=1, data={})
    places = [problem.where for problem in caught.value.problems]
    assert sorted(places) == ["data.dataset", "models", "sed", "tune.num_sample"]
    assert "the experiment: 4 mistakes" in str(caught.value)
    assert "did you mean 'seed'?" in str(caught.value)
    assert "(line" not in str(caught.value)


def test_scalars_of_numpy_and_paths_are_values_of_a_file() -> None:
    made = experiment(
        seed=np.int64(7),
        data={"dataset": Path("d"), "label_map": {np.int64(0): "a", True: np.str_("b")}},
        training={"learning_rate": np.float32(0.5), "fp16": np.bool_(False)},
        confirm={"seeds": (np.int64(1), np.uint8(2))},
    )
    assert made.seed == 7
    assert made.data.dataset == "d"
    assert made.data.label_map == {"0": "a", "true": "b"}
    assert made.training == {"learning_rate": 0.5, "fp16": False}
    assert made.confirm.seeds == (1, 2)


class _Unknown:
    """No value of a file, nor anything that is known."""


@pytest.mark.parametrize(
    ("where", "sections", "words"),
    [
        ("data.dataset", {"data": {"dataset": pd.DataFrame()}}, "write it to a file"),
        ("search_space.a", {"search_space": {"a": tune.uniform(0, 1)}}, "'loguniform'"),
        ("training.a", {"training": {"a": np.zeros(2)}}, "tolist()"),
        ("training.a.1", {"training": {"a": [1, _Unknown()]}}, "_Unknown"),
        ("training", {"training": {(1, 2): 3}}, "(1, 2) as a key"),
        ("models.0.x", {"models": [{"name": "a", "x": print}]}, "a builtin_function"),
        ("seed", {"seed": 1 + 2j}, "complex"),
        ("training.lr", {"training": {"lr": float("nan")}}, "not finite"),
        ("training.lr", {"training": {"lr": np.float64("inf")}}, "not finite"),
        ("seed", {"seed": 2**65}, "66 bits"),
        ("data.dataset", {"data": {"dataset": "a\ud83d"}}, "not valid Unicode"),
    ],
)
def test_a_value_that_no_file_can_have_is_named_by_its_key(
    where: str, sections: dict[str, Any], words: str
) -> None:
    with pytest.raises(ExperimentError) as caught:
        experiment(**sections)
    assert [problem.where for problem in caught.value.problems] == [where]
    assert words in str(caught.value)


def test_keys_of_a_dict_may_be_of_any_type() -> None:
    with pytest.raises(ExperimentError, match="an unknown key '3'"):
        Experiment.from_dict({3: 4})


def test_run_takes_an_experiment_or_a_path() -> None:
    with pytest.raises(UserError, match=r"found a dict, allowed an Experiment.*from_dict"):
        run({"name": "n"})  # type: ignore[arg-type]


def test_out_is_refused_for_a_resumed_run() -> None:
    with pytest.raises(UserError, match="out='x': without effect"):
        run(out="x", resume="reports/n/1")


def test_a_missing_file_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        Experiment.from_file(tmp_path / "nothing.yaml")
    with pytest.raises(UserError, match="Expected a run folder"):
        load_run(tmp_path)


def test_a_run_is_data_frames(loaded: Run) -> None:
    assert len(loaded.trials) == 21
    searched = loaded.trials["config/learning_rate"]
    assert searched[loaded.trials["is_default"]].isna().all()
    assert searched[~loaded.trials["is_default"]].between(1e-5, 1e-3).all()
    assert set(loaded.evaluations["split"]) == {"validation", "test"}
    assert list(loaded.leaderboard["model"])[:2] == ["minilm-3", "minilm-2"]
    assert loaded.tables["pairs"]["p"].between(0, 1).all()
    assert len(loaded.predictions) == 10 * 1000
    right = loaded.predictions.query("label == prediction").groupby("trial_id").size() / 1000
    assert right["minilm-3-confirm-00"] == pytest.approx(0.25 + 0.75 * 0.826, abs=1e-3)


def test_a_run_has_its_report_and_verdict(loaded: Run) -> None:
    assert loaded.report.startswith("# ag-news\n\n**minilm-3** ranks first of 3 models")
    assert loaded.verdict == loaded.comparison.verdict
    assert loaded.experiment == runs.typical().experiment
    assert loaded.manifest.run_id == RUN_ID


def test_figures_are_of_matplotlib_and_leave_no_setting_behind(loaded: Run) -> None:
    mpl.use("agg")
    before = mpl.rcParams.copy()
    assert "pareto" in loaded.figures
    assert loaded.figures["learning_curves"].axes
    assert mpl.rcParams == before


def test_a_notebook_shows_verdict_and_leaderboard(loaded: Run) -> None:
    shown = loaded._repr_markdown_()
    assert shown.startswith("**minilm-3** ranks first")
    assert repr(loaded) == f"Run('{loaded.folder.shown}')"
    assert "| 1 | minilm-3 |" in shown


def test_a_run_without_predictions_has_an_empty_frame_of_them(tmp_path: Path) -> None:
    made = runs.typical()
    made.has_predictions = False
    frame = load_run(made.write(tmp_path)).predictions
    assert frame.empty
    assert "prediction" in frame.columns


def test_a_run_that_goes_on_is_loaded_as_far_as_it_is(tmp_path: Path) -> None:
    runs.typical().write(tmp_path)
    (tmp_path / "manifest.json").unlink()
    found = load_run(tmp_path)
    assert not found.manifest.complete
    assert found.leaderboard["model"][0] == "minilm-3"
    assert "**Partial.**" in found.report


def test_run_passes_on_what_it_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = runs.typical().write(tmp_path)
    asked: list[Any] = []

    def started(draft: Any, place: RunOptions, display: object) -> RunFolder:
        asked.extend([draft.experiment(), place])
        return folder

    monkeypatch.setattr(launch, "run_draft", started)
    made = experiment(search_space={"learning_rate": {"loguniform": [1e-5, 1e-4]}})
    done = run(made, out="elsewhere", warm_start="before")
    assert asked[0].content_hash == made.content_hash
    assert asked[1] == RunOptions(out="elsewhere", warm_start="before")
    assert done.verdict == load_run(folder).verdict
    run(resume=folder.uri)
    assert asked[2] == read_experiment(folder.read_text("experiment.yaml"))
    with pytest.raises(UserError, match="expected an experiment"):
        run()


def test_the_examples_of_the_page_work(monkeypatch: pytest.MonkeyPatch, in_tmp: Path) -> None:
    made = runs.typical()
    folder = made.write(in_tmp / "reports" / "ag-news" / RUN_ID)
    (in_tmp / "experiment.yaml").write_text("name: n\ndata: {dataset: d}\nmodels: [a]\n")
    monkeypatch.setattr(launch, "run_draft", lambda *_: folder)
    said: list[str] = []
    names: dict[str, Any] = {"print": lambda *words: said.append(" ".join(map(str, words)))}
    assert len(EXAMPLES) == 6
    mpl.use("agg")
    for example in EXAMPLES:
        exec(compile(example, PAGE.name, "exec"), names)
    assert said == ["['models', 'tune.num_sample']"]
    assert isinstance(names["wrong"], pd.DataFrame)
    assert names["experiment"].tune.num_samples == 4
    assert (in_tmp / "curves.png").exists()


def test_every_attribute_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    public = [name for name in vars(Run) if not name.startswith("_")]
    assert [name for name in public if f"`{name}`" not in page and name != "records"] == []
