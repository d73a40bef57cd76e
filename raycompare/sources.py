"""A data set as its source has it: read into memory, its splits found, its columns checked."""

from __future__ import annotations

import difflib
import importlib.util
import json
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet
from datasets import Dataset, DatasetDict, config, load_dataset, load_from_disk
from datasets.exceptions import DatasetsError
from pyarrow import types

from raycompare.docstrings import read_docstrings
from raycompare.errors import Problem, UserError, near, one_of
from raycompare.spec import DataSpec, SplitSpec

BUILTINS = {"builtin:docstrings": read_docstrings}
USUAL_NAMES = {"validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
"""What a source may call a split that the experiment does not name."""
CARVED = {"test": 0.2, "validation": 0.1}
"""The shares of train where it has no such split, in the order they are carved."""
_STRINGS = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
_LABELS = (*_STRINGS, types.is_integer, types.is_boolean)
COLUMN_TYPES = {
    "data.text": ("strings", _STRINGS),
    "data.label": ("integers, strings, booleans or a ClassLabel", _LABELS),
}
_UNREADABLE = (OSError, ValueError, LookupError, pa.ArrowException)

Origins = Mapping[str, str | float]
"""For train, validation and test: the name of a split, or the share carved from train."""


class DataProblems(UserError):  # noqa: N818 - named for what it carries
    """Data that can't be used; all that is wrong with it is in `problems`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep `problems` in the order they were found in."""
        self.problems = list(problems)
        super().__init__("\n\n".join(str(problem) for problem in self.problems))


def mistake(where: str, found: str, allowed: str, hint: str | None = None) -> Problem:
    """Make a Problem from positional arguments."""
    return Problem(where=where, found=found, allowed=allowed, hint=hint)


def open_source(spec: DataSpec) -> DatasetDict:
    """Read every split that `spec.dataset` has, as it is there.

    Raises:
        DataProblems: there is no such data set, or some of its files can't be read.
    """
    path = Path(spec.dataset).expanduser()
    if spec.dataset.startswith("builtin:"):
        opened = _open_builtin(spec.dataset)
    elif path.is_dir():
        opened = _open_folder(path, spec)
    elif path.is_file():
        opened = DatasetDict(train=_read(path, spec.text))
    else:
        return _open_hub(spec, path)
    for where, value in (("data.config", spec.config), ("data.revision", spec.revision)):
        if value is not None:
            raise DataProblems([mistake(where, repr(value), "nothing: only hub data sets have it")])
    return opened


def find_splits(asked: SplitSpec, source: Container[str]) -> Origins:
    """Say where each split comes from, given the splits of the source."""
    found: dict[str, str | float] = {"train": asked.train}
    for part, given in (("validation", asked.validation), ("test", asked.test)):
        usual = next((name for name in USUAL_NAMES[part] if name in source), CARVED[part])
        found[part] = usual if given is None else given
    return found


def split_problems(origins: Origins, source: DatasetDict) -> Iterator[Problem]:
    """Find splits that are missing, empty, or used twice."""
    used: dict[str, str] = {}
    for part, name in origins.items():
        where = f"data.splits.{part}"
        if isinstance(name, float):
            continue
        if name not in source:
            yield mistake(where, repr(name), one_of(source), near(name, source))
        elif not source[name].num_rows:
            yield mistake(where, f"{name!r}, which has 0 rows", "a split with rows")
        elif name in used:
            allowed = "a split of its own, or a share of train between 0 and 1"
            yield mistake(where, f"{name!r}, which data.splits.{used[name]} is already", allowed)
        used.setdefault(name, part)


def values(split: Dataset, column: str) -> pa.ChunkedArray:
    """Return a column as it is stored: the labels of a ClassLabel are integers."""
    return split.select_columns([column]).with_format("arrow")[:][column]


def is_readable(where: str, column: str, split: Dataset) -> bool:
    """Say if a split has the column, and of a type that `where` allows."""
    schema = split.data.schema
    return column in schema.names and any(
        is_type(schema.field(column).type) for is_type in COLUMN_TYPES[where][1]
    )


def column_problems(where: str, column: str, splits: Mapping[str, Dataset]) -> Iterator[Problem]:
    """Find splits where the column is missing, of a wrong type, or empty in some rows."""
    lacking = [name for name, split in splits.items() if column not in split.column_names]
    if lacking:
        found = f"no column {column!r} in split {few(lacking)}"
        there = splits[lacking[0]].column_names
        yield mistake(where, found, one_of(there), near(column, there))
    for name in [name for name in splits if name not in lacking]:
        here = f"column {column!r} of split {name!r}"
        stored = values(splits[name], column)
        if not is_readable(where, column, splits[name]):
            yield mistake(where, f"{here}, of type {stored.type}", COLUMN_TYPES[where][0])
        elif empty := [row for row, value in enumerate(stored.to_pylist()) if is_empty(value)]:
            found = f"{here}, empty in {rows_in_words(empty)}"
            yield mistake(where, found, "something in every row", "remove the rows or fill them")


def is_empty(value: object) -> bool:
    """Say if there is no text or label: null, or nothing but white space."""
    return value is None or (isinstance(value, str) and not value.strip())


def few(items: Iterable[object]) -> str:
    """Spell out the first items and say how many more there are."""
    items = list(items)
    shown = ", ".join(map(str, items[:5]))
    return f"{shown} and {len(items) - 5} more" if len(items) > 5 else shown  # noqa: PLR2004


def rows_in_words(rows: Sequence[int]) -> str:
    """Name the first rows, by their number from 0, and say how many there are."""
    return f"{len(rows)} of its rows (number {few(rows)}, counted from 0)"


def _not_data(found: str, allowed: str, hint: str | None = None) -> DataProblems:
    return DataProblems([mistake("data.dataset", found, allowed, hint)])


def _open_builtin(name: str) -> DatasetDict:
    if name not in BUILTINS:
        raise _not_data(repr(name), one_of(BUILTINS), near(name, BUILTINS))
    texts, labels = BUILTINS[name]()
    return DatasetDict(train=Dataset.from_dict({"text": texts, "label": labels}))


def _read_csv(path: Path, text: Sequence[str], separator: str = ",") -> pa.Table:
    with warnings.catch_warnings():
        # pandas only warns when it drops fields that the header has no name for.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            path,
            sep=separator,
            index_col=False,
            dtype=dict.fromkeys(text, "string"),
            # The texts "None" and "NA" are texts; only an empty cell is missing.
            keep_default_na=False,
            na_values=[""],
            dtype_backend="pyarrow",
            low_memory=False,
        )
    return pa.Table.from_pandas(frame, preserve_index=False)


def _read_jsonl(path: Path, _text: Sequence[str]) -> pa.Table:
    # An object must fit into a block, and pyarrow's own blocks are 1 MiB.
    return pa.json.read_json(path, read_options=pa.json.ReadOptions(block_size=2**26))


def _read_json(path: Path, text: Sequence[str]) -> pa.Table:
    content = path.read_text(encoding="utf-8")
    if not content.lstrip().startswith("["):
        return _read_jsonl(path, text)
    rows = json.loads(content)
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("the items of the array are not all objects")
    return pa.Table.from_struct_array(pa.array(rows)) if rows else pa.table({})


def _read_parquet(path: Path, _text: Sequence[str]) -> pa.Table:
    # Not read_table, which takes a folder called a=b for a column.
    with pa.parquet.ParquetFile(path) as file:
        table = file.read()
    # datasets can't hold the categoricals of pandas.
    plain = [
        f.with_type(f.type.value_type) if types.is_dictionary(f.type) else f for f in table.schema
    ]
    return table.cast(pa.schema(plain, metadata=table.schema.metadata))


READERS: dict[str, Callable[[Path, Sequence[str]], pa.Table]] = {
    ".csv": _read_csv,
    ".tsv": partial(_read_csv, separator="\t"),
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}


def _read(path: Path, text: Sequence[str]) -> Dataset:
    ending = path.suffix.lower()
    if ending not in READERS:
        raise _not_data(f"{path}, a file of type {ending!r}", f"a file {one_of(READERS)}")
    try:
        return Dataset(READERS[ending](path, text))
    except (*_UNREADABLE, pd.errors.ParserWarning) as error:
        found = f"{path} can't be read: {_one_line(error)}"
        raise _not_data(found, f"a well-formed {ending[1:]} file in UTF-8") from error


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _open_folder(folder: Path, spec: DataSpec) -> DatasetDict:
    of_dataset = (config.DATASET_STATE_JSON_FILENAME, config.DATASET_INFO_FILENAME)
    there = sorted(entry.name for entry in folder.iterdir())
    if config.DATASETDICT_JSON_FILENAME in there or set(of_dataset) <= set(there):
        return _load_from_disk(folder)
    data = [folder / name for name in there if Path(name).suffix.lower() in READERS]
    usual = {"train", *USUAL_NAMES["validation"], *USUAL_NAMES["test"]}
    files = [file for file in data if file.stem in usual | set(spec.splits.model_dump().values())]
    if files:
        return _read_all(files, spec.text)
    raise _not_data(
        f"the folder {folder} with {few(there) or 'nothing in it'}",
        f"a file for each split, such as train.csv ({', '.join(READERS)}), or save_to_disk",
        f"to use one file, name it: {data[0]}" if data else None,
    )


def _load_from_disk(folder: Path) -> DatasetDict:
    try:
        saved = load_from_disk(str(folder), keep_in_memory=True)
    except _UNREADABLE as error:
        found = f"{folder} can't be read: {_one_line(error)}"
        raise _not_data(found, "a whole folder of save_to_disk") from error
    return saved if isinstance(saved, DatasetDict) else DatasetDict(train=saved)


def _read_all(files: Sequence[Path], text: Sequence[str]) -> DatasetDict:
    splits: dict[str, Dataset] = {}
    problems: list[Problem] = []
    for file in files:
        try:
            if file.stem in splits:
                raise _not_data(f"a second file of split {file.stem!r}: {file}", "a file per split")
            splits[file.stem] = _read(file, text)
        except DataProblems as error:
            problems += error.problems
    if problems:
        raise DataProblems(problems)
    return DatasetDict(splits)


def _open_hub(spec: DataSpec, path: Path) -> DatasetDict:
    name = spec.dataset
    # load_dataset("csv") would read every csv file in and below the current folder.
    if name.isidentifier() and importlib.util.find_spec(f"datasets.packaged_modules.{name}"):
        raise _not_found(spec, path, "it is a file type's name")
    try:
        return load_dataset(name, spec.config, revision=spec.revision, keep_in_memory=True)
    except (DatasetsError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, ValueError) and "config" in str(error).lower():
            found = f"{spec.config!r} for {name!r}: {_one_line(error)}"
            problem = mistake("data.config", found, "a configuration of the data set")
            raise DataProblems([problem]) from error
        raise _not_found(spec, path, _one_line(error.__cause__ or error)) from error


def _not_found(spec: DataSpec, path: Path, reason: str) -> DataProblems:
    return _not_data(
        f"{spec.dataset!r}: no such file or folder, so it was taken as a hub id, and the hub "
        f"can't be reached or has no such data set ({reason})",
        f"a hub id, a file or folder ({', '.join(READERS)}, save_to_disk), or {one_of(BUILTINS)}",
        _nearby(path),
    )


def _nearby(path: Path) -> str | None:
    if not path.parent.is_dir():
        is_path = path.suffix in READERS or path.is_absolute() or str(path).count("/") > 1
        return f"there is no folder {path.parent} in {Path.cwd()}" if is_path else None
    alike = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()])
    return f"did you mean {few(path.parent / name for name in alike)}?" if alike else None
