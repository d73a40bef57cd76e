"""Checks of the cluster before the first trial.

Every machine must be able to use the run folder, have the models that are loaded from folders, and
have the package versions of the driver. For each model, some machine, running or startable, must
have room for a trial. Other machines import this module to answer, so it imports nothing heavy.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from huggingface_hub import get_token

from raycompare.cluster.connection import is_remote
from raycompare.cluster.gpus import gpu_problems, usability_here
from raycompare.cluster.machines import Node, list_resources
from raycompare.cluster.nodes import NodeResult, NodeType, on_each_node, startable
from raycompare.cluster.requirements import oldest_capability, requirement_problems
from raycompare.errors import ExperimentError, Problem, UserError
from raycompare.experiment.hyperparameters import all_settings
from raycompare.experiment.needs import Needs, is_importable, needs_of
from raycompare.experiment.spec import Experiment
from raycompare.records.run_folder import RunFolder
from raycompare.records.versions import code_versions

MARKS = ".machines"
"""Subfolder of the run folder, deleted after the check."""
SHARED = "a folder that every machine can access at this path, such as NFS, or a bucket"
BUCKET = "--out s3://BUCKET/runs"


@dataclass(frozen=True)
class NodeView:
    """Report of another machine."""

    node_id: str
    versions: Mapping[str, str]
    storage: str | None = None
    """Reason why the machine can't use the run folder; None if it can."""
    missing: tuple[str, ...] = ()
    """Model folders that the machine lacks."""
    unimportable: tuple[str, ...] = ()
    """Modules that models and optimizers need and the machine can't import."""
    capability: float | None = None
    """Lowest compute capability of its GPUs, if it is known."""
    has_token: bool = True
    """Whether it can log in to the hub."""
    unusable_gpus: str | None = None
    """Reason why torch can't use the GPUs that Ray counts there; None if it can."""


def usable_machines(
    experiment: Experiment, folder: RunFolder, nodes: Sequence[Node], private: Sequence[str] = ()
) -> tuple[Node, ...]:
    """Return the machines of the cluster and those that its autoscaler can start.

    `private` are the models of the hub that only users who are logged in can load.

    Raises:
        ExperimentError: trials can't run on them; lists all reasons.
    """
    if not is_remote():
        problems = list(gpu_problems(all_settings(experiment), _unusable_gpus((), nodes)))
        if problems:
            raise ExperimentError(f"{experiment.name} on this machine", problems)
        return tuple(nodes)
    types = startable()
    answers = ask_others(experiment, folder, nodes)
    problems = [
        *gpu_problems(all_settings(experiment), _unusable_gpus(answers, nodes)),
        *storage_problems(folder, answers, types or ()),
        *version_problems(answers, code_versions()),
        *model_problems(answers),
        *module_problems(answers),
        *login_problems(answers, private),
        *room_problems(experiment, nodes, types),
    ]
    machines = (*nodes, *(node for kind in types or () for node in _not_started(kind, nodes)))
    capabilities = [answer.value.capability for answer in answers if answer.value]
    problems += requirement_problems(all_settings(experiment), machines, capabilities)
    if problems:
        raise ExperimentError(f"{experiment.name} on this cluster", problems)
    return machines


def _unusable_gpus(
    answers: Sequence[NodeResult[NodeView]], nodes: Sequence[Node]
) -> Iterator[tuple[str, str | None]]:
    yield socket.gethostname(), usability_here(nodes)
    yield from ((answer.hostname, answer.value.unusable_gpus) for answer in answers if answer.value)


def _not_started(kind: NodeType, nodes: Sequence[Node]) -> list[Node]:
    """Return the machines of a type that can still be started; running ones match by size."""
    new = kind.as_node()
    running = sum((node.cpus, node.gpus) == (new.cpus, new.gpus) for node in nodes)
    return [new] * max(kind.most - running, 0) if kind.resources else []


def ask_others(
    experiment: Experiment, folder: RunFolder, nodes: Sequence[Node] = ()
) -> list[NodeResult[NodeView]]:
    """Query every other machine; each one also reads from and writes to the run folder."""
    mark, needs = uuid4().hex, needs_of(experiment)
    folder.write_text(f"{MARKS}/mark", mark)
    try:
        look = partial(_look, folder, mark, _folders(needs))
        answers = on_each_node(partial(look, modules=_modules(needs), nodes=tuple(nodes)))
        marks = folder.names(MARKS)
        return [_verify_write(answer, marks) for answer in answers]
    finally:
        folder.delete(MARKS)


def _folders(needs: Needs) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(place.absolute()) for place in needs.model_folders.values()))


def _modules(needs: Needs) -> tuple[str, ...]:
    """Return the modules that trials import, also through custom classes and checkpoints."""
    packages = (package.module for package in needs.packages if package.in_trials)
    return tuple(dict.fromkeys([*needs.modules, *packages, *sorted(needs.code.modules)]))


def _look(
    folder: RunFolder,
    mark: str,
    folders: Sequence[str],
    node_id: str,
    modules: Sequence[str] = (),
    nodes: Sequence[Node] = (),
) -> NodeView:
    return NodeView(
        node_id=node_id,
        versions=code_versions(),
        storage=_try_storage(folder, mark, node_id),
        missing=tuple(place for place in folders if not Path(place).is_dir()),
        unimportable=tuple(module for module in modules if not is_importable(module)),
        capability=oldest_capability(),
        has_token=get_token() is not None,
        unusable_gpus=usability_here(nodes),
    )


def _try_storage(folder: RunFolder, mark: str, node_id: str) -> str | None:
    """Read the driver's mark and leave another; return why that fails, or None."""
    try:
        if folder.read_text(f"{MARKS}/mark") != mark:
            return "it is a different folder"
        folder.write_text(f"{MARKS}/{node_id}", mark)
    except UserError:
        return "it does not exist"
    except OSError as error:
        return str(error)
    return None


def _verify_write(answer: NodeResult[NodeView], marks: Sequence[str]) -> NodeResult[NodeView]:
    """Report a storage failure if the machine's mark did not arrive in the run folder."""
    view = answer.value
    if view is None or view.storage or view.node_id in marks:
        return answer
    return replace(answer, value=replace(view, storage="files written there do not arrive here"))


def storage_problems(
    folder: RunFolder, answers: Sequence[NodeResult[NodeView]], types: Sequence[NodeType]
) -> Iterator[Problem]:
    """Find machines that can't use the run folder."""
    failed = {a.hostname: a.value.storage for a in answers if a.value and a.value.storage}
    if failed:
        reasons = "; ".join(f"on {hostname}, {why}" for hostname, why in failed.items())
        yield Problem(where="--out", found=f"{folder.uri}: {reasons}", allowed=SHARED, hint=BUCKET)
    elif types and not answers and "://" not in folder.uri:
        yield Problem(
            where="--out",
            found=f"{folder.uri}, a local folder, before any other machine has joined",
            allowed=SHARED,
            hint=f"{BUCKET}; or --wait-nodes 2 to test the folder on the next machine that joins",
        )


def version_problems(
    answers: Sequence[NodeResult[NodeView]], here: Mapping[str, str]
) -> Iterator[Problem]:
    """Find machines that do not answer or have other package versions than `here`."""
    for answer in answers:
        if answer.value is None:
            yield Problem(
                where=answer.hostname,
                found=str(answer.failure),
                allowed="a machine that runs Ray tasks",
                hint="read its logs in /tmp/ray/session_latest/logs, and restart the machine",
            )
            continue
        other = {k: v for k, v in answer.value.versions.items() if v != here.get(k)}
        if other:
            ours = _versions({package: here.get(package, "none") for package in other})
            yield Problem(
                where=answer.hostname,
                found=_versions(other),
                allowed=f"{ours}, as on the machine that starts the run",
                hint="install constraints.txt on every machine; `ray up` does",
            )


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in versions.items())


def model_problems(answers: Sequence[NodeResult[NodeView]]) -> Iterator[Problem]:
    """Find model folders that some machine lacks."""
    missing = ((a.hostname, a.value.missing) for a in answers if a.value)
    for place, hostnames in _lacking(missing).items():
        yield Problem(
            where="models",
            found=f"{place}, which does not exist on {', '.join(hostnames)}",
            allowed="a hub id, or a folder that exists on every machine",
            hint="add the folder to file_mounts of the cluster file",
        )


def module_problems(answers: Sequence[NodeResult[NodeView]]) -> Iterator[Problem]:
    """Find modules of model classes and optimizers, and peft, that a machine can't import."""
    missing = ((a.hostname, a.value.unimportable) for a in answers if a.value)
    for module, hostnames in _lacking(missing).items():
        yield Problem(
            where="models",
            found=f"the module {module}, which can't be imported on {', '.join(hostnames)}",
            allowed="modules that every machine can import",
            hint="install its package in setup_commands of the cluster file",
        )


def login_problems(
    answers: Sequence[NodeResult[NodeView]], private: Sequence[str]
) -> Iterator[Problem]:
    """Find machines that can't log in to the hub for models that need it."""
    without = [a.hostname for a in answers if a.value and not a.value.has_token]
    if private and without:
        yield Problem(
            where="models",
            found=f"{', '.join(private)}, private or gated on the hub, and no token on "
            f"{', '.join(without)}",
            allowed="public models, or a token on every machine",
            hint="mount the file of your token with file_mounts of the cluster file, as "
            "docs/cluster.md shows",
        )


def _lacking(missing: Iterable[tuple[str, Sequence[str]]]) -> dict[str, list[str]]:
    """Return the hostnames that lack each item."""
    lacking: dict[str, list[str]] = {}
    for hostname, items in missing:
        for item in items:
            lacking.setdefault(item, []).append(hostname)
    return lacking


def room_problems(
    experiment: Experiment, nodes: Sequence[Node], types: Sequence[NodeType] | None
) -> Iterator[Problem]:
    """Find requested resources that no machine has, running or startable."""
    machines = (*nodes, *(kind.as_node() for kind in types or () if kind.resources))
    requested = {
        f"{own.section}.resources" if own.model.resources else "resources": own.resources
        for own in all_settings(experiment)
    }
    for where, resources in requested.items():
        if not any(node.fits(resources) for node in machines):
            yield Problem(
                where=where,
                found=f"cpu {resources.cpu:g}, gpu {resources.gpus:g}",
                allowed=f"at most the resources of one machine: {list_resources(machines)}",
                hint=_suggest_room(types),
            )


def _suggest_room(types: Sequence[NodeType] | None) -> str:
    if types is None:
        return "request less; it is unknown whether an autoscaler could start larger machines"
    late = [kind.name for kind in types if not kind.resources]
    if late:
        return f"request less, or --wait-nodes N for machines that join later ({', '.join(late)})"
    return "request less, or add a node type to the cluster file"
