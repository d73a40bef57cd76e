"""Credentials in URIs are found, hidden, and refused wherever an experiment names a place."""

from __future__ import annotations

import pytest

from raycompare.experiment.file import parse_draft
from raycompare.uris import has_credentials, hide_credentials

SECRET = [
    "s3://KEY:SECRET@bucket/x",
    "s3://KEY:SECRET%2Fx@bucket/part-*.csv",
    "s3://KEY:SEC/RET+SECRET@bucket/x",
    "s3://SECRET@bucket",
    "S3://KEY:SECRET@bucket",
    "gs://me:SECRET@bucket/x",
    "gs://SECRET@bucket/x",
    "hdfs://me:SECRET@host:8020/x",
    "https://me:SECRET@host/x",
    "abfss://:SECRET@account.blob.core.windows.net/c",
    "abfs://container:SECRET@account.dfs.core.windows.net/x",
    "abfs://c@a.dfs.core.windows.net/x?credential_kind=client_secret&client_secret=SECRET",
    "s3://bucket/x?access_key=SECRET",
    "s3://bucket/x?X-Amz-Signature=SECRET",
    "https://account.blob.core.windows.net/x?sv=1&sig=SECRET",
    "s3://bucket/x?region=us-east-1&secret_key=SECRET",
]
PLAIN = [
    "data/news.csv",
    "a@b.csv",
    "org/model",
    "builtin:docstrings",
    "s3://bucket/x@y/part-*.csv",
    "s3://bucket/a:b@c",
    "s3://bucket/x?endpoint_override=localhost:9000&scheme=http",
    "s3://bucket/x?region=us-east-1",
    "gs://anonymous@bucket/x",
    "abfss://container@account.dfs.core.windows.net/x",
    "hdfs://host:8020/x",
    "http://host:5000/a@b",
]


@pytest.mark.parametrize("uri", SECRET)
def test_credentials_are_found_and_hidden(uri: str) -> None:
    assert has_credentials(uri)
    assert "SECRET" not in hide_credentials(f"can't open '{uri}'")


@pytest.mark.parametrize("uri", PLAIN)
def test_other_places_are_not_taken_for_credentials(uri: str) -> None:
    assert not has_credentials(uri)


@pytest.mark.parametrize("uri", SECRET)
@pytest.mark.parametrize("setting", ["data.dataset", "models.0.checkpoint", "models.0"])
def test_an_experiment_has_none(uri: str, setting: str) -> None:
    model = {"models.0.checkpoint": f"{{name: m, checkpoint: '{uri}'}}", "models.0": f"'{uri}'"}
    dataset = uri if setting == "data.dataset" else "d"
    text = f"name: a\ndata: {{dataset: '{dataset}'}}\nmodels: [{model.get(setting, 'm')}]"
    problems = parse_draft(text, "a.yaml").problems
    assert problems
    assert all(problem.where.startswith(setting) for problem in problems)
    assert "SECRET" not in "".join(map(str, problems))
