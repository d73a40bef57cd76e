"""Which test runs a command of the docs that test_docs_run can't run as it stands, or why none."""

from __future__ import annotations

from collections.abc import Mapping

AWS = "tests/whole/test_cluster_aws.py::test_from_up_to_down"
LOCAL = "tests/whole/test_cluster.py::test_trials_run_on_every_machine_and_the_report_comes_home"
HUB = "tests/whole/test_hub.py::test_shipped_experiments_are_right_in_a_clone"
JOB = "tests/sagemaker/test_jobs.py::test_a_job_on_two_instances_is_one_cluster_with_one_report"

RUN_BY: Mapping[str, str] = {
    r"ray up cluster\.yaml": AWS,
    r"ray submit cluster\.yaml jobs/compare\.py -- .*": AWS,
    r"raycompare fetch s3://.*": AWS,
    r"ray down cluster\.yaml": AWS,
    r"ray up cluster\.local\.yaml": LOCAL,
    r"ray submit cluster\.local\.yaml jobs/compare\.py -- .*": LOCAL,
    r"ray down cluster\.local\.yaml": (
        "tests/whole/test_cluster.py::test_a_new_cluster_finishes_what_the_head_has_left"
    ),
    r"raycompare (run|refine|extend) (jobs/experiments/\S+\.yaml|RUN_DIR.*)": HUB,
    r"python jobs/compare\.py( EXPERIMENT.*)?": (
        "tests/whole/test_cluster_files.py::test_the_copy_of_the_job_starts_where_the_project_is"
    ),
    r"aws (?!configure$).*": "tests/cli/test_aws_commands_in_docs.py::test_aws_takes_the_command",
    r"pip install .*": "tests/test_extras.py::test_every_extra_that_is_named_exists",
    r"make .*": "tests/whole/test_docs_run.py::test_a_command_does_what_it_is_there_for",
    r"(mkdir -p .*|python -c .*|hf download .*)": (
        "tests/whole/test_hub.py::test_data_and_models_are_downloaded_as_the_docs_say"
    ),
    r"export RAYCOMPARE_SAGEMAKER_ROLE=.*": JOB,
    r"raycompare sagemaker submit (?!--resume).*": JOB,
    r"raycompare sagemaker submit --resume .*": (
        "tests/sagemaker/test_jobs.py::test_a_stopped_job_is_resumed_to_the_same_records"
    ),
    r"raycompare sagemaker logs .*": (
        "tests/sagemaker/test_sent_jobs.py::test_each_line_of_the_log_is_told_once_until_the_end"
    ),
    r"raycompare sagemaker fetch .*": (
        "tests/sagemaker/test_jobs.py::test_report_and_records_are_fetched"
    ),
    r"raycompare sagemaker (deploy|predict|delete) .*": (
        "tests/sagemaker/test_endpoint.py"
        "::test_an_endpoint_answers_with_the_names_of_the_labels_until_it_is_deleted"
    ),
}
"""A test by the pattern of the commands that it runs, with a stand-in or with other arguments."""

NOT_RUN: Mapping[str, str] = {
    "aws configure": "asks for keys at a terminal, and is a program of others",
    r"ray dashboard cluster\.yaml": "forwards a port until Ctrl-C; the rig has no browser",
    r"(docker|kubectl) .*": (
        "no Docker and no Kubernetes here; test_shipped_experiments.py checks the files"
    ),
    r"ray exec cluster\.yaml 'ray get-auth-token'": "prints a secret; the rig runs `ray exec`",
}
"""The few that no test runs, and why; they are parsed all the same."""
