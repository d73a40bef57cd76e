"""Saved models from elsewhere: damaged, with code, and whether they take texts or pairs."""

from __future__ import annotations

import builtins
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import raycompare
from raycompare.cli.app import app
from raycompare.errors import UserError
from raycompare.experiment.spec import ModelSpec
from raycompare.models.pooling import POOLED_BY
from raycompare.models.pretrained import MADE_BY, build_model
from raycompare.models.saved import NOTHING, OWN_CODE, TEXTS_PER_ROW, load_saved, save_model
from raycompare.records.run_folder import RunFolder
from raycompare.serving.winner import saved_at, width_of
from tests.tiny import save_tiny_bert

LABELS = ("World", "Sports")
CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer_config.json", "model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("saved") / "model"
    spec = ModelSpec(name="tiny", checkpoint=save_tiny_bert(place))
    save_model(build_model(spec, LABELS, {}), spec, place, 8)
    return place


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def change(folder: Path, name: str, **fields: Any) -> None:
    config = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**config, **fields}))


def predict(*words: str) -> tuple[int, str]:
    """Run the command in this process; only errors for the user are told by the caller."""
    done = CliRunner().invoke(app, ["predict", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        assert isinstance(done.exception, UserError), repr(done.exception)
        return 2, str(done.exception)
    return done.exit_code, done.output


BAD_FIELDS: dict[str, tuple[str, Any]] = {
    "no labels": ("id2label", None),
    "labels in a list": ("id2label", ["a", "b"]),
    "a gap between labels": ("id2label", {"0": "a", "2": "b"}),
    "a label that is no text": ("id2label", {"0": "a", "1": {}}),
    "an unknown pooling": ("raycompare_pooling", "median"),
    "a pooling of another type": ("raycompare_pooling", {"a": 1}),
    "three texts": (TEXTS_PER_ROW, 3),
    "texts that are no number": (TEXTS_PER_ROW, True),
    "a type that transformers doesn't have": ("model_type", "no_such_type"),
    "a size of another type": ("hidden_size", "many"),
    "other sizes": ("hidden_size", 8),
    "a class that is no name": (MADE_BY, ["os"]),
}


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_a_config_with_a_bad_field_is_refused_in_words(model: Path, case: str) -> None:
    name, value = BAD_FIELDS[case]
    change(model, CONFIG, **{name: value})
    code, text = predict(str(model), "--text", "a cat")
    assert code == 2
    assert str(model) in text


@pytest.mark.parametrize("length", ["many", -1, float("nan"), None, int(1e30)])
def test_a_length_that_is_none_is_refused(model: Path, length: object) -> None:
    change(model, TOKENIZER, model_max_length=length)
    code, text = predict(str(model), "--text", "a cat")
    assert (code, "model_max_length" in text) == (2, True)


DAMAGE = {
    "missing": None,
    "empty": b"",
    "cut": b'{"a": ',
    "bytes": b"\xff\xfe\x00",
    "a list": b"[1]",
    "nested": b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [CONFIG, TOKENIZER, WEIGHTS, "tokenizer.json"])
def test_a_damaged_file_is_refused_in_words(model: Path, name: str, damage: str) -> None:
    content = DAMAGE[damage]
    if content is None:
        (model / name).unlink()
    else:
        (model / name).write_bytes(content)
    code, text = predict(str(model), "--text", "a cat")
    assert code == 2
    assert str(model) in text
    assert len(text) < 1000


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that leaves a mark when it is imported."""
    mark = tmp_path / "it-ran"
    (tmp_path / "evil_module.py").write_text(
        f"open({str(mark)!r}, 'w').close()\n"
        "from transformers import BertForSequenceClassification as Mine\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("it asked"))
    return mark


@pytest.mark.parametrize("trusted", [None, "evil_module:Other", "other:Mine"])
def test_a_folder_cannot_have_a_module_imported(
    model: Path, evil: Path, trusted: str | None
) -> None:
    change(model, CONFIG, **{MADE_BY: "evil_module:Mine"})
    option = [] if trusted is None else ["--trust-code", trusted]
    code, text = predict(str(model), "--text", "a cat", *option)
    assert code == 2
    assert "evil_module:Mine" in text
    assert "--trust-code" in text
    with pytest.raises(UserError, match="trust_code"):
        raycompare.load_model(model, trust_code=trusted)
    assert not evil.exists()
    code, _ = predict(str(model), "--text", "a cat", "--trust-code", "evil_module:Mine")
    assert (code, evil.exists()) == (0, True)
    sys.modules.pop("evil_module", None)


def test_a_class_that_no_folder_names_is_not_imported(model: Path, evil: Path) -> None:
    code, text = predict(str(model), "--text", "a cat", "--trust-code", "evil_module:Mine")
    assert code == 2
    assert "names no class" in text
    assert not evil.exists()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (CONFIG, {"model_type": "own", "auto_map": {"AutoConfig": "evil_module.Config"}}),
        (CONFIG, {OWN_CODE: True}),
        (
            TOKENIZER,
            {
                "tokenizer_class": "Own",
                "auto_map": {"AutoTokenizer": [None, "evil_module.Own"]},
            },
        ),
    ],
)
def test_code_in_a_folder_does_not_run_and_nothing_is_asked(
    model: Path, evil: Path, name: str, fields: dict[str, Any]
) -> None:
    (model / "evil_module.py").write_text(evil.with_name("evil_module.py").read_text())
    change(model, name, **fields)
    if name == CONFIG:
        code, text = predict(str(model), "--text", "a cat")
        assert (code, "--trust-remote-code" in text) == (2, True)
    else:  # transformers has classes that read the tokenizer without its code
        load_saved(model, NOTHING)
    assert not evil.exists()


@pytest.mark.parametrize("pairs", [False, True])
def test_a_saved_model_says_whether_it_takes_pairs(
    saved: Path, tmp_path: Path, pairs: bool
) -> None:
    spec = ModelSpec(name="tiny", checkpoint=str(saved))
    save_model(build_model(spec, LABELS, {}), spec, tmp_path / "m", 8, pairs)
    place = RunFolder.at(tmp_path / "m")
    assert width_of(place.uri, place) == (2 if pairs else 1)
    wrong = ["--text", "a", *([] if pairs else ["--text-pair", "b"])]
    code, text = predict(str(tmp_path / "m"), *wrong)
    assert code == 2
    assert "on which the model was trained" in text


def test_a_folder_without_the_note_takes_both(model: Path) -> None:
    config = json.loads((model / CONFIG).read_text())
    del config[TEXTS_PER_ROW]
    (model / CONFIG).write_text(json.dumps(config))
    assert saved_at(RunFolder.at(model)).texts is None
    assert predict(str(model), "--text", "a cat")[0] == 0
    assert predict(str(model), "--text", "a cat", "--text-pair", "b")[0] == 0


def test_a_model_that_is_trained_further_does_not_keep_notes_of_the_run_before(
    model: Path, tmp_path: Path
) -> None:
    notes = {POOLED_BY: "mean", MADE_BY: "evil_module:Mine", OWN_CODE: True, TEXTS_PER_ROW: 2}
    change(model, CONFIG, **notes)
    spec = ModelSpec(name="further", checkpoint=str(model))
    save_model(build_model(spec, LABELS, {}), spec, tmp_path / "further", 8)
    config = json.loads((tmp_path / "further" / CONFIG).read_text())
    assert {name: config[name] for name in notes if name in config} == {TEXTS_PER_ROW: 1}
