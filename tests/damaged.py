"""Damages run folders in ways that a seed chooses: cut, edited, hostile, or of another version.

`damage(folder, seed)` changes one or two files of a run folder and returns what it did.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ESCAPES = "\x1b]0;OWNED\x07\x1b[31m\x9b31m\u202e"
OTHER_VALUES: Sequence[Any] = (
    *(None, [], {}, "", "x", -1, 0, 1e308, float("nan"), True, ESCAPES, "../../../x", "a\nb"),
    *([[]], {"a": {"b": []}}, "9" * 5000, 10**30, ["x"] * 3),
)
DEEP = 3000
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
)

Damage = Callable[[Path, random.Random], None]


def _remove(path: Path, _: random.Random) -> None:
    path.unlink()


def _cut(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) + 1)])


def _flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 5, 50))):
        content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(bytes(content))


def _noise(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.choice((0, 1, 100, 5000))))


def _replace_by_folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_link(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(rng.choice(("/dev/zero", "nowhere", path.name, "/", "/proc/self/mem")))


def _replace_by_pipe(path: Path, _: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


ANY_FILE: Sequence[Damage] = (
    *(_remove, _cut, _cut, _flip, _flip, _noise),
    *(_replace_by_folder, _replace_by_link, _replace_by_pipe),
)


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Return container and key of all values in JSON or YAML."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    found: list[tuple[Any, Any]] = []
    for key, value in list(items):
        found.append((node, key))
        if isinstance(value, dict | list):
            found += _places(value)
    return found


def _edit_values(content: Any, rng: random.Random) -> Any:
    kind = rng.choice(("other", "other", "drop", "add", "whole"))
    if kind == "whole":
        return rng.choice(OTHER_VALUES)
    for _ in range(rng.choice((1, 1, 3))):
        container, key = rng.choice(_places(content))
        if kind == "other":
            container[key] = rng.choice(OTHER_VALUES)
        elif isinstance(container, dict) and key in container:
            if kind == "drop":
                del container[key]
            else:
                container["of_a_later_version"] = rng.choice(OTHER_VALUES)
    return content


def _edit_json(path: Path, rng: random.Random) -> None:
    if rng.random() < 0.15:
        texts = ("[" * DEEP, '{"a":' * DEEP, '{"format": 99}', "9" * 5000, "NaN", "\ufeff{}")
        path.write_text(rng.choice(texts))
        return
    path.write_text(json.dumps(_edit_values(json.loads(path.read_text()), rng)))


def _edit_yaml(path: Path, rng: random.Random) -> None:
    text = path.read_text()
    if rng.random() < 0.4:
        texts = ("[" * DEEP, "- " * DEEP, LAUGHS, text + LAUGHS, "!!python/object:os.system x")
        path.write_text(rng.choice((*texts, text + "\x00", "\ufeff" + text, "a: *b")))
        return
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 3))):
        place = rng.randrange(len(lines))
        key, colon, _value = lines[place].partition(":")
        other = json.dumps(rng.choice(OTHER_VALUES))
        lines[place] = rng.choice((f"{key}{colon} {other}", f"x{lines[place]}", ""))
    path.write_text("\n".join(lines) + "\n")


def _edit_table(path: Path, rng: random.Random) -> None:
    table = pq.read_table(path, partitioning=None)
    name = rng.choice(table.column_names)
    place = table.column_names.index(name)
    column, rows = table[name], table.num_rows
    kind = rng.choice(("drop", "text", "null", "odd", "odd", "odd", "rows", "twice", "later"))
    if kind == "drop":
        table = table.drop_columns(name)
    elif kind == "text":
        table = table.set_column(place, name, pa.array([f"x{row}" for row in range(rows)]))
    elif kind == "null":
        table = table.set_column(place, name, pa.nulls(rows, column.type))
    elif kind == "rows":
        table = table.slice(0, rng.randrange(rows + 1))
    elif kind == "twice":
        table = pa.concat_tables([table, table])
    elif kind == "later":
        table = table.append_column("of_a_later_version", pa.array(list(range(rows))))
    else:
        table = table.set_column(place, name, _odd(column, rng))
    pq.write_table(table, path)


def _odd(column: pa.ChunkedArray, rng: random.Random) -> pa.Array:
    """Return a column of the same type in which one value, or all, are odd."""
    values: list[Any] = column.to_pylist()
    if pa.types.is_string(column.type):
        odd: Any = rng.choice(("", "nobody", "../../../x", ESCAPES, "[]", "{", '{"a": {}}', "a\nb"))
    elif pa.types.is_integer(column.type):
        odd = rng.choice((-1, 0, 2**40, 10**6))
    elif pa.types.is_floating(column.type):
        odd = rng.choice((float("nan"), float("inf"), -1.0, 1e300, 0.0))
    elif pa.types.is_list(column.type):
        odd = rng.choice(([], [float("nan")] * 2, [1.0] * 50))
    else:
        odd = rng.choice((True, False))
    for place in range(len(values)) if rng.random() < 0.3 else [rng.randrange(len(values))]:
        values[place] = odd
    return pa.array(values, column.type)


EDITS: dict[str, Damage] = {".json": _edit_json, ".yaml": _edit_yaml, ".parquet": _edit_table}


def damage(folder: Path, seed: int) -> str:
    """Damage a run folder; return what was done, for messages."""
    rng = random.Random(seed)
    done = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        files = [path for path in files if path.stat().st_size and "checkpoints" not in path.parts]
        records = [path for path in files if path.parent == folder]
        path = rng.choice(records if rng.random() < 0.6 else files)
        edit = EDITS.get(path.suffix)
        how = edit if edit and rng.random() < 0.65 else rng.choice(ANY_FILE)
        try:
            how(path, rng)
        except (ValueError, OSError):  # the second damage of a file
            how = _noise
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            _noise(path, rng)
        done.append(f"{how.__name__.strip('_')} {path.relative_to(folder)}")
    return f"seed {seed}: {', '.join(done)}"
