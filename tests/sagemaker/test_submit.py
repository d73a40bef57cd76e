"""Training jobs as the user of an account sees them: the real SDK, moto, and no job that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import ray
import torch
from botocore.exceptions import ClientError

pytest.importorskip("sagemaker.train", reason="pip install -e '.[sagemaker]'")

from raycompare.errors import ExperimentError, UserError
from raycompare.experiment.file import parse_draft
from raycompare.sagemaker import checks as sagemaker_checks
from raycompare.sagemaker.aws import Aws, quiet
from raycompare.sagemaker.checks import findings
from raycompare.sagemaker.job_environment import Job
from raycompare.sagemaker.plan import (
    JobOptions,
    Plan,
    disk_notes,
    login_problems,
    plan,
    tracker_problems,
)
from raycompare.sagemaker.request import Machines, Network, vcpus
from raycompare.sagemaker.source import closure, write_source
from raycompare.sagemaker.submit import _compute, base_name, default_image
from tests.rig.sagemaker import BUCKET, ROLE, Application
from tests.runs import experiment
from tests.user import EXPERIMENT, OUT, planned, request, user

pytestmark = [
    pytest.mark.sagemaker,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with user(tmp_path_factory.mktemp("user")) as application:
        yield application


def asked(application: Application, plan: Plan) -> dict[str, Any]:
    """Return CreateTrainingJob as it came."""
    return dict(application.jobs[plan.send()].asked)


def test_a_job_is_one_command_one_file_and_no_hyperparameters(account: Application) -> None:
    made = planned(tags={"team": "nlp"})
    job = asked(account, made)
    assert job["ResourceConfig"]["InstanceType"] == "ml.g5.xlarge"
    assert job["ResourceConfig"]["InstanceCount"] == 2
    assert not job.get("HyperParameters")
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 24 * 3600}
    assert {"Key": "team", "Value": "nlp"} in job["Tags"]
    run_dir = job["Environment"]["RAYCOMPARE_RUN_DIR"]
    assert run_dir.startswith(f"{OUT}/small/")
    assert job["OutputDataConfig"]["S3OutputPath"].startswith(run_dir)
    assert made.submission.job.token not in json.dumps(job)


def test_the_source_has_the_program_the_experiment_and_the_versions(account: Application) -> None:
    job = asked(account, planned())
    uri = {
        c["ChannelName"]: c["DataSource"]["S3DataSource"]["S3Uri"] for c in job["InputDataConfig"]
    }
    assert uri["code"].startswith(f"{job['Environment']['RAYCOMPARE_RUN_DIR']}/job/")
    prefix = uri["code"].removeprefix(f"s3://{BUCKET}/")
    listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    names = {str(item["Key"]).removeprefix(prefix).lstrip("/") for item in listed}
    assert {"experiment.yaml", "job.json", "requirements.txt", "constraints.txt"} <= names
    assert "raycompare/sagemaker/entry.py" in names
    assert "raycompare/experiment/prices.toml" in names
    assert not [name for name in names if "__pycache__" in name]


def test_the_entry_is_the_first_process_of_the_container(account: Application) -> None:
    job = asked(account, planned())
    uri = {
        c["ChannelName"]: c["DataSource"]["S3DataSource"]["S3Uri"] for c in job["InputDataConfig"]
    }
    key = uri["sm_drivers"].removeprefix(f"s3://{BUCKET}/")
    script = boto3.client("s3").get_object(Bucket=BUCKET, Key=f"{key.rstrip('/')}/sm_train.sh")
    assert "exec python -m raycompare.sagemaker.entry" in script["Body"].read().decode()


def test_a_head_that_only_drives_is_a_group_of_its_own(account: Application) -> None:
    machines = Machines(instance_type="ml.g5.xlarge", count=3, head_type="ml.m5.large")
    groups = asked(account, planned(machines=machines))["ResourceConfig"]["InstanceGroups"]
    assert [(g["InstanceGroupName"], g["InstanceType"], g["InstanceCount"]) for g in groups] == [
        ("head", "ml.m5.large", 1),
        ("trials", "ml.g5.xlarge", 3),
    ]


def test_spot_has_a_time_to_wait(account: Application) -> None:
    machines = Machines(instance_type="ml.g5.xlarge", spot=True, max_hours=2)
    made = planned(machines=machines)
    job = asked(account, made)
    assert job["EnableManagedSpotTraining"] is True
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 14400}
    assert any("on demand" in line for line in made.lines)


def test_keys_and_network_are_passed_on(account: Application) -> None:
    network = Network(subnets=("subnet-1",), security_groups=("sg-1",))
    job = asked(account, planned(network=network, kms_key="key-1"))
    assert job["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert job["OutputDataConfig"]["KmsKeyId"] == "key-1"


@pytest.mark.parametrize(
    ("machines", "has_key"),
    [
        (Machines(instance_type="ml.m5.xlarge"), True),
        (Machines(instance_type="ml.g5.xlarge"), False),
        (Machines(instance_type="ml.g5.xlarge", head_type="ml.m5.large"), False),
    ],
)
def test_a_key_is_for_disks_that_take_one(
    account: Application, machines: Machines, has_key: bool
) -> None:
    wanted = request(machines=machines, kms_key="key-1")
    assert (getattr(_compute(wanted), "volume_kms_key_id", None) == "key-1") is has_key
    assert any("local storage" in note for note in disk_notes(wanted)) is not has_key
    notes = findings(wanted, OUT, Aws()).notes
    assert any("default key of the bucket" in note for note in notes)


def keys() -> list[str]:
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def test_a_job_that_aws_refuses_is_told_with_what_is_left(
    account: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {"Error": {"Code": "ResourceLimitExceeded", "Message": "the limit is 0 instances"}}

    def refuse(*_: object, **__: object) -> None:
        raise ClientError(refused, "CreateTrainingJob")

    made = planned()
    monkeypatch.setattr("sagemaker.core.resources.TrainingJob.create", refuse)
    with pytest.raises(UserError, match="the limit is 0 instances") as caught:
        made.send()
    assert "Service Quotas" in str(caught.value)
    (place,) = [word for word in str(caught.value).split() if word.startswith("s3://")]
    assert [key for key in keys() if f"s3://{BUCKET}/{key}".startswith(place)]


@pytest.mark.parametrize(
    ("variables", "advice"),
    [
        ({"AWS_REGION": "eu-west-1"}, "boto3 doesn't read AWS_REGION, which is eu-west-1"),
        ({"AWS_DEFAULT_REGION": "us-est-1"}, "did you mean 'us-"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "whose bucket is in us-east-1, not in eu-west-1"),
    ],
)
def test_the_region_is_that_of_boto3_and_of_the_bucket(
    account: Application,
    variables: dict[str, str],
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (problem,) = findings(request(), OUT, Aws()).problems
    assert advice in str(problem)


def test_a_role_of_another_account_is_not_taken_for_one_of_the_same_name(
    account: Application,
) -> None:
    wanted = request(role=f"arn:aws:iam::999999999999:role/{ROLE}")
    (problem,) = findings(wanted, OUT, Aws()).problems
    assert "does not exist in account 123456789012" in problem.found


def test_a_job_has_no_login_for_private_models(monkeypatch: pytest.MonkeyPatch) -> None:
    private = {"org/private", "org/data"}
    monkeypatch.setattr(
        "raycompare.sagemaker.plan.needs_login", lambda name, kind="model": name in private
    )
    made = experiment("org/private", "org/public", data={"dataset": "org/data"})
    wheres = [problem.where for problem in login_problems(made)]
    assert wheres == ["models.0.checkpoint", "data.dataset"]
    assert list(login_problems(experiment("org/public"))) == []


def test_mlflow_needs_a_server_of_the_job() -> None:
    (problem,) = tracker_problems(["mlflow"], request())
    assert "add --mlflow" in str(problem.hint)
    assert list(tracker_problems(["mlflow"], request(mlflow="https://server"))) == []


def test_the_metrics_are_defined(account: Application) -> None:
    job = asked(account, planned())
    names = {known["Name"] for known in job["AlgorithmSpecification"]["MetricDefinitions"]}
    assert {"eval_mcc", "test_f1", "mini:test_mcc"} <= names


def test_every_mistake_is_told_at_once(account: Application) -> None:
    text = EXPERIMENT.replace("max_steps: 2", "max_step: 2").replace("trackers: []", "seed: -1")
    with pytest.raises(ExperimentError) as caught:
        planned(
            text,
            role="nobody",
            out="s3://no-such-bucket-here/x",
            network=Network(subnets=("subnet-1",)),
            machines=Machines(instance_type="ml.g5.xlrage"),
        )
    wheres = {problem.where for problem in caught.value.problems}
    assert {"training.max_step", "seed", "--role", "--out", "--instance-type"} <= wheres
    assert "--subnet, --security-group" in wheres
    assert "did you mean 'ml.g5.xlarge'?" in str(caught.value)


def test_a_role_that_sagemaker_may_not_take_is_found(account: Application) -> None:
    boto3.client("iam").create_role(
        RoleName="ec2-only", AssumeRolePolicyDocument='{"Statement": []}'
    )
    with pytest.raises(ExperimentError, match=r"does not trust sagemaker\.amazonaws\.com"):
        planned(role="ec2-only")


def test_run_folders_do_not_go_to_the_disk_of_a_job(account: Application) -> None:
    with pytest.raises(ExperimentError, match="which outlives the job"):
        planned(out="reports")


def test_an_image_that_the_registry_does_not_have_is_found(account: Application) -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"
    with pytest.raises(ExperimentError, match="which is not in the registry"):
        planned(image=image)


def test_more_machines_than_the_quota_allows_are_found(account: Application) -> None:
    with pytest.raises(ExperimentError, match="the account's quota 'ml"):
        planned(machines=Machines(instance_type="ml.g5.xlarge", count=3, spot=True))


def test_what_may_not_be_looked_at_is_a_note(
    account: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = {"Error": {"Code": "AccessDeniedException", "Message": "not for you"}}

    def refuse(*arguments: object) -> None:
        raise ClientError(denied, "ListServiceQuotas")

    monkeypatch.setattr(sagemaker_checks, "_look_at_quota", refuse)
    made = planned()
    assert any("not for you" in line for line in made.lines if line.startswith("note: "))


def test_without_credentials_nothing_is_sent(
    account: Application, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    before = set(account.jobs)
    with pytest.raises(ExperimentError, match="credentials"):
        planned()
    assert set(account.jobs) == before


def test_the_price_is_said_before(account: Application) -> None:
    lines = planned(machines=Machines(instance_type="ml.g5.xlarge", count=4, max_hours=2)).lines
    assert lines[0].startswith("4 x ml.g5.xlarge: $5.63 per hour on demand")
    assert any("after 2 h" in line and "$11.27" in line for line in lines)


def test_a_resumed_run_has_the_folder_it_had(account: Application) -> None:
    options = JobOptions(draft=parse_draft(EXPERIMENT, "small.yaml"), resume=f"{OUT}/small/1")
    assert plan(options, request(), Aws()).submission.job.run_dir == f"{OUT}/small/1"


def test_a_key_for_wandb_is_not_put_where_all_can_read_it(
    account: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "here")
    with pytest.raises(ExperimentError, match="visible to everyone"):
        planned(EXPERIMENT.replace("trackers: []", "trackers: [wandb]"))


def test_mlflow_of_sagemaker_goes_to_the_job(account: Application) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/mine"
    made = planned(EXPERIMENT.replace("trackers: []", "trackers: [mlflow]"), mlflow=arn)
    assert asked(account, made)["Environment"]["MLFLOW_TRACKING_URI"] == arn
    with pytest.raises(ExperimentError, match="a list that includes mlflow"):
        planned(mlflow=arn)


def test_local_files_are_sent_under_their_own_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("text,label\n")
    made = experiment("a", data={"dataset": "data", "splits": {}})
    source = tmp_path / "source"
    source.mkdir()
    write_source(source, made, Job(run_dir="s3://b/r", token="t"))
    assert (source / "data" / "train.csv").exists()


def test_files_outside_of_the_folder_are_a_mistake(account: Application) -> None:
    with pytest.raises(ExperimentError, match="which is uploaded"):
        planned(EXPERIMENT.replace("all.csv", str(Path("all.csv").absolute())))


def test_what_is_installed_there_has_the_versions_of_here() -> None:
    pins = closure(["ray[tune]", "torch", "not-installed-here"])
    assert pins["ray"] == ray.__version__
    assert pins["torch"] == torch.__version__.partition("+")[0]
    assert "tensorboardx" in pins  # of ray's extra
    assert "not-installed-here" not in pins


def test_the_image_has_the_torch_of_here(account: Application) -> None:
    torch_version = ".".join(torch.__version__.split(".")[:2])
    assert f":{torch_version}-" in default_image(request(), Aws())
    cpu = default_image(request(machines=Machines(instance_type="ml.m5.xlarge")), Aws())
    assert "cpu" in cpu


@pytest.mark.parametrize(
    ("name", "cpus"),
    [("ml.m5.large", 2), ("ml.g5.xlarge", 4), ("ml.p4d.24xlarge", 96), ("ml.t3.medium", 1)],
)
def test_the_size_of_a_type_says_its_cpus(name: str, cpus: int) -> None:
    assert vcpus(name) == cpus


def test_names_of_jobs_are_what_sagemaker_takes() -> None:
    made = replace_name("a_b.c" * 20)
    assert base_name(made).replace("-", "").isalnum()
    assert len(base_name(made)) <= 40


def replace_name(name: str) -> Any:
    return experiment("a").model_copy(update={"name": name})


def test_telemetry_is_off_unless_the_user_turns_it_on(account: Application) -> None:
    config = Aws().session(BUCKET).sagemaker_config
    assert config["SageMaker"]["PythonSDK"]["Modules"]["TelemetryOptOut"] is True
    on = {"SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": False}}}}
    assert quiet(on)["SageMaker"]["PythonSDK"]["Modules"]["TelemetryOptOut"] is False
    own = {"SageMaker": {"TrainingJob": {"EnableNetworkIsolation": True}}}
    assert quiet(own)["SageMaker"]["TrainingJob"] == {"EnableNetworkIsolation": True}
