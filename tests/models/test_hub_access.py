"""Whether the hub shows a repository to everybody, as its answer says."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from raycompare.models.hub import needs_login, private_models
from tests.runs import experiment


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        (None, False),
        (GatedRepoError("gated", response=Mock()), True),
        (RepositoryNotFoundError("private", response=Mock()), True),
        (ConnectionError("no network"), False),
        (OSError("offline"), False),
    ],
)
def test_a_login_is_needed_where_others_see_nothing(
    error: Exception | None, needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def auth_check(_: HfApi, name: str, **how: Any) -> None:
        asked.update(how, name=name)
        if error is not None:
            raise error

    monkeypatch.setattr(HfApi, "auth_check", auth_check)
    assert needs_login("org/model") is needed
    assert asked == {"name": "org/model", "repo_type": "model", "token": False}
    made = experiment("org/model", {"name": "b", "checkpoint": "package:x/y"})
    assert private_models(made) == (["org/model"] if needed else [])
