"""The run folder's experiment.yaml: the experiment as text, every default spelled out, and back."""

from __future__ import annotations

import json
from io import StringIO

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from raycompare.errors import UserError
from raycompare.spec import Experiment

NEVER_WRAP = 2**20


def write_experiment(experiment: Experiment) -> str:
    """Write the experiment as block YAML, its keys in the order of the types."""
    yaml = YAML()
    yaml.width = NEVER_WRAP
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    yaml.dump(experiment.to_file(), stream)
    return stream.getvalue()


def read_experiment(text: str) -> Experiment:
    """Read what `write_experiment` wrote.

    Raises:
        UserError: the text is something else.
    """
    try:
        content = json.dumps(YAML(typ="safe").load(text))
        return TypeAdapter(Experiment).validate_json(content)
    except (YAMLError, ValidationError, TypeError) as error:
        raise UserError(
            f"experiment.yaml is not as a run wrote it: {error}\n"
            "Restore the file, or run the experiment again into a new folder."
        ) from error
