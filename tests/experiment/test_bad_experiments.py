"""Files that aren't experiments: each is refused with one message that names the place."""

from __future__ import annotations

import copy
import json
import os
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from raycompare.errors import UserError
from raycompare.experiment.file import parse_draft
from raycompare.experiment.safe_yaml import MOST_BYTES
from raycompare.experiment.spec import Experiment
from tests import ROOT
from tests.bad import Content, checked, content_of, refused

REST = "name: x\ndata: {dataset: x}\nmodels: [x]\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 10)
)

TEXTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "expected a mapping"),
    "only a comment": ("# nothing\n", "expected a mapping"),
    "a list at the top": ("- name: x\n", "expected a mapping"),
    "a text at the top": ("hello", "expected a mapping"),
    "a tab": ("name: x\ndata:\n\tdataset: x\n", "experiment.yaml:3: not valid YAML"),
    "a key twice": ("name: x\nname: y\n", "experiment.yaml:2: not valid YAML: found duplicate key"),
    "a key twice in a section": (f"{REST}tune: {{num_samples: 1, num_samples: 2}}", "duplicate"),
    "no end of a list": ("name: [", "not valid YAML"),
    "two documents": (f"{REST}---\nname: y\n", "experiment.yaml:4: not valid YAML"),
    "an alias of nothing": ("name: *nobody\n", "experiment.yaml:1: not valid YAML"),
    "a list that contains itself": (f"{REST}training: &a [*a]\n", "(line 4)"),
    "a mapping that contains itself": (
        f"{REST}training: &a {{b: *a}}\n",
        "inside the value that it refers to",
    ),
    "aliases of aliases": (BOMB, "more than 100,000 values"),
    "sixty levels": (f"{REST}training: {'[' * 60}{']' * 60}\n", "more than 50 levels"),
    "ten thousand levels": (f"{REST}training: {'[' * 10_000}\n", "nested too deeply"),
    "a tag that runs code": (
        f'{REST}training: !!python/object/apply:os.system ["touch {{}}"]\n',
        "training (line 4)\n  found    the tag",
    ),
    "a tag of a text": (f"{REST}seed: !secret x\n", "seed (line 4)\n  found    the tag !secret"),
    "bytes": (f"{REST}training: !!binary aGVsbG8=\n", "training (line 4)"),
    "a set": (f"{REST}training: !!set {{a, b}}\n", "training (line 4)"),
    "no number": (f"{REST}training: {{weight_decay: .nan}}\n", "training.weight_decay (line 4)"),
    "an endless number": (f"{REST}tune: {{time_budget_s: .inf}}\n", "tune.time_budget_s (line 4)"),
    "a number beyond floats": (
        f"{REST}training: {{learning_rate: 1e999}}\n",
        "which is not finite",
    ),
    "a number of 5,000 digits": (f"{REST}seed: {'9' * 5000}\n", "not valid YAML"),
    "a number of 24,000 bits": (f"{REST}seed: 0x{'f' * 6000}\n", "seed (line 4)"),
    "a date that is none": (f"{REST}seed: 2020-99-99\n", "not valid YAML"),
    "half a letter": (f'{REST}training: {{a: "\\ud800"}}\n', "training.a (line 4)"),
    "half a letter as a key": (f'{REST}"\\ud800": 1\n', "as a key"),
    "a list as a key": (f"{REST}? [a, b]\n: 1\n", "('a', 'b') as a key"),
    "nothing as a key": (f"{REST}null: 1\n", "None as a key"),
    "a control character": (b"name: \x01\n", "not valid YAML"),
    "zeros": (b"\x00" * 64, "not valid YAML"),
    "UTF-16": ("name: x\n".encode("utf-16"), "UTF-8"),
    "Latin-1": ("name: caf\xe9\n".encode("latin-1"), "UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "UTF-8"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_a_file_that_is_not_an_experiment(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, says = TEXTS[what]
    message = refused(text, tmp_path, capsys)
    assert says in message
    assert "experiment.yaml" in message
    assert len(message) < 5000


def test_a_file_of_fifty_megabytes_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 50 * 2**20)
    code, _, message = checked([str(path)], capsys)
    assert code == 2
    assert f"at most {MOST_BYTES:,}" in " ".join(message.split())


def test_a_folder_and_an_invalid_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, says in {
        str(tmp_path): "can't be read",
        "x" * 300: "can't be read",
        "\0": "null",
    }.items():
        code, _, message = checked([path], capsys)
        assert code == 2
        assert says in message


@pytest.mark.parametrize(
    "override", ["name=[", "name=!x 1", "seed=.nan", "name=*a", "data.dataset=a: b: c", "=1", "x"]
)
def test_an_invalid_override(
    override: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"--set {override}" in refused(REST, tmp_path, capsys, ("--set", override))


def parts(
    owner: type[BaseModel] = Experiment, path: str = ""
) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the type of each part of a file, with the path of an example."""
    yield path, owner
    for name, field in owner.model_fields.items():
        for inner in _models_in(field.annotation):
            place = f"{name}.0" if name == "models" else name
            yield from parts(inner, f"{path}.{place}".strip("."))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


PARTS = {path: part for path, part in parts() if not path.endswith("search_space")}
FIELDS = {
    f"{path}.{name}".strip("."): field
    for path, part in PARTS.items()
    for name, field in part.model_fields.items()
}
WRONG = ({"surely": {"not": 1}}, [["so"]], "no such thing", -1.5, [], True)


def wrong_for(field: FieldInfo) -> Any:
    """Return a value that the field does not accept."""
    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
    for value in WRONG:
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError:
            return value
    raise AssertionError("the field accepts every value")


@pytest.fixture
def good(tiny_model: str, tiny_data: str) -> Content:
    return content_of(tiny_model, tiny_data)


def put(content: Content, path: str, value: object) -> Content:
    changed = copy.deepcopy(content)
    *above, last = path.split(".")
    node: Any = changed
    for part in above:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    node[last] = value
    return changed


@pytest.mark.parametrize("path", PARTS)
def test_an_unknown_key_at_each_level(
    path: str, good: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"{path}.zzz".strip(".")
    message = refused(put(good, where, 1), tmp_path, capsys)
    assert f"{where} (line 1)" in message
    assert "an unknown key 'zzz'" in message


@pytest.mark.parametrize("path", FIELDS)
def test_a_wrong_type_at_each_field(
    path: str, good: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(put(good, path, wrong_for(FIELDS[path])), tmp_path, capsys)
    assert f"\n{path}" in message
    assert "found" in message
    assert "allowed" in message


def test_a_merged_key_has_the_line_of_its_mapping() -> None:
    shared = "training: &all {seed: 1}\nmodels:\n  - name: x\n    training:\n      <<: *all\n"
    draft = parse_draft(f"name: x\ndata: {{dataset: x}}\n{shared}", "x.yaml")
    assert draft.models["models.0"].training == {"seed": 1}
    assert draft.lines["models.0.training.seed"] in (6, 7)


def test_there_are_enough_bad_experiments() -> None:
    assert len(TEXTS) + len(PARTS) + len(FIELDS) > 80


SHIPPED = [
    path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "jobs" / "experiments").glob("*.yaml"))
]
PIECES = st.one_of(
    st.sampled_from("{}[]|>'\"#?%@~"),
    st.sampled_from(
        ["&a ", "*a", "!x ", "!!int ", "<<: *a", "<<: ", ".nan", "1e999", "null", "0x"]
    ),
    st.sampled_from([": ", "- ", "\n", "\n  ", "\t", "---\n", "2020-01-01", '"\\ud800"']),
    st.sampled_from([*Experiment.model_fields, "config.", "peft", "choice"]),
    st.text(alphabet=string.printable, max_size=6),
    st.text(max_size=3),
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Draw a valid experiment and replace some parts of its text."""
    text = draw(st.sampled_from([REST, *SHIPPED]))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(text)))
        end = min(start + draw(st.integers(0, 12)), len(text))
        text = text[:start] + draw(PIECES) + text[end:]
    return text


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=mutated())
def test_any_file_is_read_or_refused(text: str) -> None:
    is_read_or_refused(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["choice", "name"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(sorted(FIELDS)), value=VALUES)
def test_any_value_of_a_field_is_read_or_refused(path: str, value: Any) -> None:
    good: Content = {"name": "x", "data": {"dataset": "x"}, "models": [{"name": "x"}]}
    is_read_or_refused(json.dumps(put(good, path, value)))


def is_read_or_refused(text: str) -> None:
    try:
        draft = parse_draft(text, "fuzzed.yaml")
    except UserError as error:
        str(error).encode()
        return
    for problem in draft.problems:
        assert draft.locate(problem).where
        str(draft.locate(problem)).encode()


@pytest.mark.parametrize(
    ("override", "places", "allowed"),
    [
        ("data.label_names=[0, 1]", ["data.label_names.0", "data.label_names.1"], "string"),
        ("data.label_names=[a]", ["data.label_names"], "at least 2 items"),
        ("data.text=[]", ["data.text"], "at least 1 item"),
        ("data.text=[a, b, c]", ["data.text"], "at most 2 items"),
        ("data.label_map={}", ["data.label_map"], "at least 1 item"),
        ("confirm.seeds=[]", ["confirm.seeds"], "a list of integers"),
        ("models=[{name: 3}]", ["models.0.name"], "string"),
        ("models=[{}]", ["models.0.name"], "required"),
        ("name=" + "x" * 201, ["name"], "at most 200 characters"),
    ],
)
def test_a_mistake_has_no_consequences_that_are_told_too(
    override: str, places: list[str], allowed: str
) -> None:
    problems = parse_draft(REST, "x", [override]).problems
    assert [problem.where for problem in problems] == places
    assert all(allowed in problem.allowed for problem in problems)
    assert not any("after validation" in str(problem) for problem in problems)


def test_a_name_may_have_two_hundred_letters() -> None:
    assert not parse_draft(REST, "x", ["name=" + "x" * 200]).problems
