"""Reads the splits of a data set from files, hubs or built-in sources into memory."""

from __future__ import annotations

import difflib
import importlib.util
import tempfile
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, DatasetDict, DatasetInfo, config, load_dataset, load_from_disk
from datasets.exceptions import DatasetsError
from datasets.naming import camelcase_to_snakecase
from datasets.packaged_modules.cache.cache import Cache
from huggingface_hub import HfApi, errors
from pyarrow import fs

from raycompare.data.columns import in_memory
from raycompare.data.delimited import SEPARATORS, type_labels
from raycompare.data.docstrings import read_docstrings
from raycompare.data.files import ZIP, DataFile, Location
from raycompare.data.input_file import InputFile, format_of, stem_of
from raycompare.data.problems import DataProblems, cause_of, few, mistake, not_data, short
from raycompare.data.readers import ENDINGS, READERS, UNREADABLE, read_table
from raycompare.errors import Problem, near, one_of
from raycompare.experiment.settings import SplitSpec
from raycompare.experiment.spec import DataSpec

BUILTINS = {"builtin:docstrings": read_docstrings}
USUAL_NAMES = {"validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
"""Names that are tried for splits that the experiment doesn't name."""
DEFAULT_SHARES = {"test": 0.2, "validation": 0.1}
"""Shares of train for splits that the source lacks, in the order they are drawn."""
_NO_ANSWER = (OSError, ValueError, errors.HTTPError, errors.RevisionResolutionError)  # type: ignore[attr-defined]
Origins = Mapping[str, str | float]
"""Names of splits, or shares of train, keyed by train, validation and test."""


def open_source(spec: DataSpec) -> DatasetDict:
    """Read all splits of `spec.dataset`, unchanged.

    Raises:
        DataProblems: there is no such data set, or some of its files can't be read.
    """
    if spec.dataset.startswith("builtin:"):
        source: DatasetDict | None = _open_builtin(spec.dataset)
    else:
        try:
            source = _open_location(spec, Location.at(spec.dataset))
        except (OSError, ValueError, pa.ArrowException) as error:
            allowed = "a location that can be reached and that you may read"
            raise not_data(f"{short(spec.dataset)}: {cause_of(error)}", allowed) from error
    if source is None:
        return _open_hub(spec, Path(spec.dataset).expanduser())
    for where, value in (("data.config", spec.config), ("data.revision", spec.revision)):
        if value is not None:
            raise DataProblems([mistake(where, repr(value), "nothing: only hub data sets have it")])
    return source


def _open_location(spec: DataSpec, place: Location) -> DatasetDict | None:
    """Read a file, a folder or the matches of a pattern; return None if it may be a hub id."""
    kind = place.kind()
    if kind == fs.FileType.Directory:
        return _open_folder(place, spec)
    if kind == fs.FileType.File and place.path.lower().endswith(ZIP):
        return _read_all(place.zip_files(_split_names(spec)), spec)
    if kind == fs.FileType.File:
        return DatasetDict(train=_read([place.file(place.path)], spec))
    if place.is_pattern:
        return _read_all(place.pattern_files(_split_names(spec)), spec)
    if kind == fs.FileType.Unknown:
        pipe = f"{place.shown}, a pipe or a device"
        raise not_data(pipe, f"a file that ends in {ENDINGS}", "write its content to a file")
    if not place.scheme and Path(place.path).is_symlink():
        target = Path(place.path).readlink()
        raise not_data(f"{place.path}, a link to {target}, which doesn't exist", "a link to data")
    if place.scheme:
        allowed = f"a folder, a file that ends in {ENDINGS}, {ZIP}, or a pattern such as part-*.csv"
        raise not_data(f"{place.shown}: no such file or folder", allowed)
    return None


def _split_names(spec: DataSpec) -> set[str]:
    usual = {"train", *USUAL_NAMES["validation"], *USUAL_NAMES["test"]}
    return usual | {name for name in spec.splits.model_dump().values() if isinstance(name, str)}


def find_splits(spec: SplitSpec, source: Container[str]) -> Origins:
    """Return the origin of each split, from the experiment or else from the source's splits."""
    origins: dict[str, str | float] = {"train": spec.train}
    for part, origin in (("validation", spec.validation), ("test", spec.test)):
        usual = next((name for name in USUAL_NAMES[part] if name in source), DEFAULT_SHARES[part])
        origins[part] = usual if origin is None else origin
    return origins


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
            allowed = "a different split, or a share of train between 0 and 1"
            yield mistake(where, f"{name!r}, already used for data.splits.{used[name]}", allowed)
        used.setdefault(name, part)


def _open_builtin(name: str) -> DatasetDict:
    if name not in BUILTINS:
        raise not_data(repr(name), one_of(BUILTINS), near(name, BUILTINS))
    texts, labels = BUILTINS[name]()
    return DatasetDict(train=Dataset.from_dict({"text": texts, "label": labels}))


def _open_folder(place: Location, spec: DataSpec) -> DatasetDict:
    names = place.names()
    single = {config.DATASET_STATE_JSON_FILENAME, config.DATASET_INFO_FILENAME}
    if config.DATASETDICT_JSON_FILENAME in names or single <= set(names):
        return _load_from_disk(place)
    files = place.folder_files(_split_names(spec))
    if files:
        return _read_all(files, spec)
    folder = place.shown.rstrip("/")
    raise not_data(
        f"the folder {folder} with {few(names) or 'nothing in it'}",
        f"a file for each split, such as train.csv ({ENDINGS}), or a folder of save_to_disk",
        _propose_files(folder, [name for name in names if format_of(name) in READERS]),
    )


def _propose_files(folder: str, names: Sequence[str]) -> str | None:
    """Propose the files whose names have those of splits in them, or else a single file."""
    if not names:
        return None
    having = {
        part: next((name for name in names if part in name.casefold()), None)
        for part in ("train", "test")
    }
    train, test = having["train"], having["test"]
    if train and test:
        return (
            f"name the files in data.splits: {{train: {stem_of(train)}, test: {stem_of(test)}}}, "
            f"or use a single one: {folder}/{train}"
        )
    return f"to use a single file, name it: {folder}/{train or names[0]}"


def _load_from_disk(place: Location) -> DatasetDict:
    try:
        if not place.scheme:
            saved = load_from_disk(place.path, keep_in_memory=True)
        else:
            with tempfile.TemporaryDirectory() as local:
                fs.copy_files(place.path, local, place.filesystem, fs.LocalFileSystem())
                saved = load_from_disk(local, keep_in_memory=True)
    except (*UNREADABLE, TypeError) as error:
        reason = f"{place.shown} can't be read: {cause_of(error)}"
        raise not_data(reason, "a complete folder of save_to_disk") from error
    return saved if isinstance(saved, DatasetDict) else DatasetDict(train=saved)


def _read_all(files: Sequence[DataFile], spec: DataSpec) -> DatasetDict:
    """Read the files of each split, sorted by name."""
    splits: dict[str, Dataset] = {}
    problems: list[Problem] = []
    for split in dict.fromkeys(str(file.split) for file in files):
        own = [file for file in files if file.split == split]
        try:
            if len(own) > 1 and not all(file.is_part for file in own):
                second = f"a second file of split {split!r}: {own[1].shown}"
                raise not_data(second, "one file per split")
            splits[split] = _read(own, spec)
        except DataProblems as error:
            problems += error.problems
    if problems:
        raise DataProblems(problems)
    return DatasetDict(splits)


def used_columns(spec: DataSpec) -> list[str]:
    """Return the columns that are read; all others of a file are ignored."""
    return [*spec.text, spec.label, *([] if spec.group is None else [spec.group])]


def _read(files: Sequence[DataFile], spec: DataSpec) -> Dataset:
    """Read files that have the same columns into one split."""
    used = used_columns(spec)
    tables = [_table(file, used) for file in files]
    columns = {name for name in used if name in tables[0].column_names}
    for file, table in zip(files, tables, strict=True):
        if {name for name in used if name in table.column_names} != columns:
            different = f"{file.shown} with the columns {few(table.column_names)}"
            raise not_data(different, f"those of {files[0].shown}: {few(tables[0].column_names)}")
    ending = format_of(files[0].shown)
    try:
        whole = pa.concat_tables(tables, promote_options="default")
        if ending in SEPARATORS:
            whole = _type_labels(whole, spec.label)
        return in_memory(whole, DatasetInfo(builder_name=ending[1:]))
    except (*UNREADABLE, TypeError) as error:
        shown = files[0].shown + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        allowed = f"well-formed {ending[1:]} files in UTF-8 with one type per column"
        raise not_data(f"{shown} can't be read: {cause_of(error)}", allowed) from error


def _type_labels(table: pa.Table, label: str) -> pa.Table:
    """Return a table with whole numbers as labels if all labels are such."""
    if label not in table.column_names:
        return table
    place = table.column_names.index(label)
    return table.set_column(place, label, type_labels(table[label]))


def _table(file: DataFile, used: Sequence[str]) -> pa.Table:
    ending = format_of(file.shown)
    if ending not in READERS:
        raise not_data(f"{file.shown}, a file of type {ending!r}", f"a file {one_of(READERS)}")
    try:
        content = file.read()
    except OSError as error:
        reason = f"{file.shown} can't be read: {cause_of(error)}"
        raise not_data(reason, "a file that you may read") from error
    return read_table(InputFile(shown=file.shown, open=partial(BytesIO, content)), used)


def _open_hub(spec: DataSpec, path: Path) -> DatasetDict:
    name = spec.dataset
    # load_dataset("csv") would read every csv file in and below the current folder.
    if name.isidentifier() and importlib.util.find_spec(f"datasets.packaged_modules.{name}"):
        raise _not_found(spec, path, "it is the name of a file type")
    try:
        return _load(spec)
    except (DatasetsError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, ValueError) and "config" in str(error).lower():
            reason = f"{spec.config!r} for {name!r}: {cause_of(error)}"
            problem = mistake("data.config", reason, "a configuration of the data set")
            raise DataProblems([problem]) from error
        raise _not_found(spec, path, cause_of(error.__cause__ or error)) from error


def _load(spec: DataSpec) -> DatasetDict:
    """Load the revision of a hub data set; offline, `datasets` alone would take the latest one."""
    commit = _commit(spec)
    if commit and (cached := _cached(spec, commit)):
        return DatasetDict(cached.as_dataset(in_memory=True))
    source = load_dataset(spec.dataset, spec.config, revision=spec.revision, keep_in_memory=True)
    if spec.revision and not (commit and _cached(spec, commit)):
        raise DatasetsError(f"revision {spec.revision} isn't in the cache")
    return source


def _commit(spec: DataSpec) -> str | None:
    """Return the commit that the revision is at; without the hub, the one in the cache."""
    revision = spec.revision or "main"
    try:
        return (
            HfApi().resolve_revision(spec.dataset, repo_type="dataset", revision=revision).resolved
        )
    except _NO_ANSWER:
        return None


def _cached(spec: DataSpec, commit: str) -> Cache | None:
    """Return the data set that was loaded from a commit before, if its configuration is clear."""
    *owner, name = spec.dataset.split("/")
    folder = Path(config.HF_DATASETS_CACHE, "___".join([*owner, camelcase_to_snakecase(name)]))
    match list(folder.glob(f"{spec.config or '*'}/*/{commit}/dataset_info.json")):
        case [info]:
            kind, version, _ = info.parent.relative_to(folder).parts
            names = {"dataset_name": name, "repo_id": spec.dataset, "config_name": kind}
            return Cache(**names, version=version, hash=commit)
    return None


def _not_found(spec: DataSpec, path: Path, reason: str) -> DataProblems:
    return not_data(
        f"{short(spec.dataset)!r}: there is no such file or folder, and as a hub id it can't be "
        f"loaded: the hub can't be reached or has no such data set ({reason})",
        f"a file ({ENDINGS}), a folder, a hub id, or {one_of(BUILTINS)}",
        _nearby(path),
    )


def _nearby(path: Path) -> str | None:
    if not path.parent.is_dir():
        is_path = path.suffix in READERS or path.is_absolute() or str(path).count("/") > 1
        return f"there is no folder {path.parent} in {Path.cwd()}" if is_path else None
    like = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()])
    return f"did you mean {', '.join(str(path.parent / name) for name in like)}?" if like else None
