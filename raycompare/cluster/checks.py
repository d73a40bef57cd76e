"""What must hold of a cluster before the first trial, found in one go and within seconds.

Each machine can use the run folder, has the models that come from folders, and computes with the
versions that the run was started with; and some machine, there or to be started, holds a trial of
each model. Other machines import this module to answer, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from raycompare.cluster.connection import is_remote
from raycompare.cluster.machines import Node
from raycompare.cluster.nodes import NodeResult, NodeType, on_each_node, startable
from raycompare.errors import ExperimentError, Problem, UserError
from raycompare.experiment.hyperparameters import all_settings
from raycompare.experiment.spec import Experiment
from raycompare.records.run_folder import RunFolder
from raycompare.records.versions import code_versions

PEFT = "peft"
MARKS = ".machines"
"""A folder of the run folder, gone after the check."""
SHARED = "a folder that every machine sees under this path, such as NFS, or a bucket"
BUCKET = "--out s3://BUCKET/runs"


@dataclass(frozen=True)
class NodeView:
    """What another machine sees."""

    node_id: str
    versions: Mapping[str, str]
    storage: str | None = None
    """Why the run folder can't be used from there, if it can't."""
    missing: tuple[str, ...] = ()
    """Folders of models that are not there."""
    unimportable: tuple[str, ...] = ()
    """Modules that models need and that are not there."""


def usable_machines(
    experiment: Experiment, folder: RunFolder, nodes: Sequence[Node]
) -> tuple[Node, ...]:
    """Return the machines of the cluster, and those that its autoscaler can start.

    Raises:
        ExperimentError: with all that keeps trials from running on them.
    """
    if not is_remote():
        return tuple(nodes)
    types = startable()
    answers = ask_others(experiment, folder)
    problems = [
        *storage_problems(folder, answers, types or ()),
        *version_problems(answers, code_versions()),
        *model_problems(answers),
        *module_problems(answers),
        *room_problems(experiment, nodes, types),
    ]
    if problems:
        raise ExperimentError(f"{experiment.name} on this cluster", problems)
    return (*nodes, *(node for kind in types or () for node in _not_started(kind, nodes)))


def _not_started(kind: NodeType, nodes: Sequence[Node]) -> list[Node]:
    """Return the machines of a kind that can still be started; those there are known by size."""
    one = kind.as_node()
    there = sum((node.cpus, node.gpus) == (one.cpus, one.gpus) for node in nodes)
    return [one] * max(kind.most - there, 0) if kind.resources else []


def ask_others(experiment: Experiment, folder: RunFolder) -> list[NodeResult[NodeView]]:
    """Ask each other machine what it sees; the run folder is tried by writing and reading."""
    mark = uuid4().hex
    folder.write_text(f"{MARKS}/mark", mark)
    try:
        answers = on_each_node(
            partial(_look, folder, mark, _folders(experiment), modules=_modules(experiment))
        )
        marks = folder.names(MARKS)
        return [_verify_write(answer, marks) for answer in answers]
    finally:
        folder.delete(MARKS)


def _folders(experiment: Experiment) -> tuple[str, ...]:
    places = (Path(model.checkpoint).expanduser() for model in experiment.models)
    return tuple(dict.fromkeys(str(place.absolute()) for place in places if place.is_dir()))


def _modules(experiment: Experiment) -> tuple[str, ...]:
    classes = (model.model_class for model in experiment.models)
    own = (path.partition(":")[0] for path in classes if path)
    peft = (PEFT for model in experiment.models if model.peft)
    return tuple(dict.fromkeys([*own, *peft]))


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # of a package above it
        return False


def _look(
    folder: RunFolder, mark: str, folders: Sequence[str], node_id: str, modules: Sequence[str] = ()
) -> NodeView:
    return NodeView(
        node_id=node_id,
        versions=code_versions(),
        storage=_try_storage(folder, mark, node_id),
        missing=tuple(place for place in folders if not Path(place).is_dir()),
        unimportable=tuple(module for module in modules if not _is_there(module)),
    )


def _try_storage(folder: RunFolder, mark: str, node_id: str) -> str | None:
    """Read the driver's mark and leave one; return why that can't be done."""
    try:
        if folder.read_text(f"{MARKS}/mark") != mark:
            return "another folder is there"
        folder.write_text(f"{MARKS}/{node_id}", mark)
    except UserError:
        return "it is not there"
    except OSError as error:
        return str(error)
    return None


def _verify_write(answer: NodeResult[NodeView], marks: Sequence[str]) -> NodeResult[NodeView]:
    """See whether what the machine says it has written is among the marks that are there."""
    sight = answer.value
    if sight is None or sight.storage or sight.node_id in marks:
        return answer
    lost = replace(sight, storage="what it writes does not come through")
    return replace(answer, value=lost)


def storage_problems(
    folder: RunFolder, answers: Sequence[NodeResult[NodeView]], types: Sequence[NodeType]
) -> Iterator[Problem]:
    """Find machines that can't use the run folder."""
    failed = {a.hostname: a.value.storage for a in answers if a.value and a.value.storage}
    if failed:
        told = "; ".join(f"from {hostname} {why}" for hostname, why in failed.items())
        yield Problem(where="--out", found=f"{folder.uri}: {told}", allowed=SHARED, hint=BUCKET)
    elif types and not answers and "://" not in folder.uri:
        yield Problem(
            where="--out",
            found=f"{folder.uri}, a folder of this machine, while others have not joined",
            allowed=SHARED,
            hint=f"{BUCKET}; or --wait-nodes 2 to see whether the next machine shares the folder",
        )


def version_problems(
    answers: Sequence[NodeResult[NodeView]], here: Mapping[str, str]
) -> Iterator[Problem]:
    """Find machines that do not answer, or whose trials would not be comparable."""
    for answer in answers:
        if answer.value is None:
            yield Problem(
                where=answer.hostname,
                found=str(answer.failure),
                allowed="a machine of the cluster that runs tasks",
                hint="its logs are in /tmp/ray/session_latest/logs; start the machine again",
            )
            continue
        other = {k: v for k, v in answer.value.versions.items() if v != here.get(k)}
        if other:
            ours = _versions({package: here.get(package, "none") for package in other})
            yield Problem(
                where=answer.hostname,
                found=_versions(other),
                allowed=f"{ours}, as where the run starts",
                hint="install constraints.txt on every machine; `ray up` does",
            )


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in versions.items())


def model_problems(answers: Sequence[NodeResult[NodeView]]) -> Iterator[Problem]:
    """Find folders of models that some machine has not."""
    missing = ((a.hostname, a.value.missing) for a in answers if a.value)
    for place, hostnames in _lacking(missing).items():
        yield Problem(
            where="models",
            found=f"{place}, which is not on {', '.join(hostnames)}",
            allowed="a hub id, or a folder that every machine has",
            hint="add the folder to file_mounts of the cluster file",
        )


def module_problems(answers: Sequence[NodeResult[NodeView]]) -> Iterator[Problem]:
    """Find modules of models' own classes, and peft, that some machine can't import."""
    missing = ((a.hostname, a.value.unimportable) for a in answers if a.value)
    for module, hostnames in _lacking(missing).items():
        yield Problem(
            where="models",
            found=f"the module {module}, which can't be imported on {', '.join(hostnames)}",
            allowed="modules that every machine has",
            hint="install its package in setup_commands of the cluster file",
        )


def _lacking(missing: Iterable[tuple[str, Sequence[str]]]) -> dict[str, list[str]]:
    """Return the machines that lack each thing."""
    found: dict[str, list[str]] = {}
    for hostname, things in missing:
        for thing in things:
            found.setdefault(thing, []).append(hostname)
    return found


def room_problems(
    experiment: Experiment, nodes: Sequence[Node], types: Sequence[NodeType] | None
) -> Iterator[Problem]:
    """Find resources that no machine has, be it there or to be started."""
    machines = (*nodes, *(kind.as_node() for kind in types or () if kind.resources))
    asked = {
        f"{own.section}.resources" if own.model.resources else "resources": own.resources
        for own in all_settings(experiment)
    }
    for where, resources in asked.items():
        if not any(node.fits(resources) for node in machines):
            yield Problem(
                where=where,
                found=f"cpu {resources.cpu:g}, gpu {resources.gpus:g}",
                allowed=f"what one machine of the cluster has: {_have(machines)}",
                hint=_not_counted(types),
            )


def _have(machines: Sequence[Node]) -> str:
    return "; ".join(f"{n.hostname}: cpu {n.cpus:g}, gpu {n.gpus:g}" for n in machines)


def _not_counted(types: Sequence[NodeType] | None) -> str:
    if types is None:
        return "ask for less; whether an autoscaler could start larger machines is not known here"
    late = [kind.name for kind in types if not kind.resources]
    if late:
        return f"ask for less, or --wait-nodes N for machines that join later ({', '.join(late)})"
    return "ask for less, or add a node type to the cluster file"
