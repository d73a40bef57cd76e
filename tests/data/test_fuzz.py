"""Files with any bytes are either read or refused with a message."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raycompare.data.problems import DataProblems
from raycompare.data.readers import READERS
from raycompare.data.splits import PARTS, LabelledData, load_splits
from raycompare.experiment.settings import LimitSpec, SplitSpec
from raycompare.experiment.spec import DataSpec
from tests.bad_files import GOOD, WHOLE

JSONL = "".join(f'{{"text": "text {row}", "label": "{"ab"[row % 2]}"}}\n' for row in range(60))
SEEDS = {
    ".csv": GOOD.encode(),
    ".tsv": GOOD.replace(",", "\t").encode(),
    ".jsonl": JSONL.encode(),
    ".json": f"[{JSONL.strip().replace(chr(10), ',')}]".encode(),
    ".parquet": WHOLE,
}
LONGEST = 6000
odd = st.sampled_from(
    [b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"{", b"[", b"]", b"\\", b"1e999", b"\t"]
)
fuzzed = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return a well-formed file of some type with bytes added, removed and changed."""
    ending = draw(st.sampled_from(sorted(SEEDS)))
    content = SEEDS[ending]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        gone = draw(st.integers(0, 20))
        content = content[:at] + draw(odd | st.binary(max_size=8)) + content[at + gone :]
    return ending, content


def loads_or_answers(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        found = loaded(path)
        if isinstance(found, DataProblems):
            assert 0 < len(str(found)) < LONGEST
        else:
            assert len(found.train)
            assert len(found.label_names) > 1


def loaded(path: Path, seed: int = 0, **spec: Any) -> LabelledData | DataProblems:
    try:
        return load_splits(DataSpec(dataset=str(path), **spec), seed)
    except DataProblems as error:
        return error


@pytest.mark.parametrize("ending", [*READERS, ".csv.gz", ".zip"])
@fuzzed
@given(content=st.binary(max_size=300))
def test_any_bytes(ending: str, content: bytes) -> None:
    loads_or_answers(f"a{ending}", content)


@settings(fuzzed, max_examples=400)
@given(mutated())
def test_files_with_damage(file: tuple[str, bytes]) -> None:
    ending, content = file
    loads_or_answers(f"a{ending}", content)


@fuzzed
@given(st.text(max_size=200))
def test_any_name(name: str) -> None:
    with pytest.raises(DataProblems) as caught:
        load_splits(DataSpec(dataset=f"/nowhere/{name}"), 0)
    assert len(str(caught.value)) < LONGEST


clean = st.tuples(st.sampled_from("vwxyz"), st.sampled_from("aaabbAc"), st.integers(0, 9))
dirty = st.tuples(
    st.sampled_from(["x", " ", "", None]) | st.text(max_size=3),
    st.sampled_from(["a", "b ", None]),
    st.integers(0, 9),
)
tables = st.lists(clean, min_size=10, max_size=60) | st.lists(clean | dirty, max_size=60)
shares = st.none() | st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.9, "test"])
specs = st.fixed_dictionaries(
    {
        "splits": st.builds(SplitSpec, validation=shares, test=shares),
        "limit": st.builds(LimitSpec, train=st.none() | st.integers(2, 40)),
    },
    optional={
        "group": st.sampled_from(["author", "text", "label"]),
        "label_map": st.dictionaries(
            st.sampled_from(["a", "b", "c"]), st.sampled_from(["a", "x"]), min_size=1
        ),
        "label_names": st.sampled_from([("a", "b", "c", "A"), ("b", "a"), ("a", "a")]),
    },
)


@settings(fuzzed, max_examples=150)
@given(tables, specs, st.integers(0, 3))
def test_any_table_with_any_settings(
    rows: list[tuple[str | None, str | None, int]], spec: dict[str, Any], seed: int
) -> None:
    # Longer, so that some can be carved.
    columns = list(zip(*(rows * 3), strict=True)) or [(), (), ()]
    frame = dict(zip(("text", "label", "author"), map(list, columns), strict=True))
    types = pa.schema([("text", "string"), ("label", "string"), ("author", "int64")])
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pa.table(frame, schema=types), Path(folder) / "train.parquet")
        found = loaded(Path(folder), seed, **spec)
    if isinstance(found, DataProblems):
        assert 0 < len(str(found)) < LONGEST
        return
    drawn = [row for part in PARTS for row in getattr(found, part)["example_id"][:]]
    assert len(drawn) == len(set(drawn))
    assert set(found.train["label"][:]) == {*range(len(found.label_names))}
    assert all(len(getattr(found, part)) for part in PARTS)
