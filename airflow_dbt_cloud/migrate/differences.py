"""
What a DAG author has to write otherwise here, and what means something else: as tables of sentences.

`docs/migrating.md` says the same at length.
"""

from __future__ import annotations

__all__ = [
    "HOOK_ATTRIBUTES",
    "HOOK_METHODS",
    "OPERATORS",
    "RELATED",
    "RUN_FIELDS",
    "SAME_METHODS",
    "STATUS_ATTRIBUTES",
    "TASK_ATTRIBUTES",
    "WISHES",
]

OPERATORS = frozenset(
    {
        "DbtCloudGetJobRunArtifactOperator",
        "DbtCloudJobRunSensor",
        "DbtCloudListJobRunsOperator",
        "DbtCloudListJobsOperator",
        "DbtCloudRunJobOperator",
    }
)

# Methods of the hook that take and return the same, but for `account_id`.
SAME_METHODS = frozenset({"cancel_job_run", "get_job_run_status"})
_RUN = 'returns a Run and no response: write .status for .json()["data"]["status"], .href, .id'
HOOK_METHODS = {
    "get_account": 'returns an Account and no response: write .name for .json()["data"]["name"]',
    "get_conn": "returns this package's client and no requests.Session",
    "get_environment": "is not here: look through list_environments(project_id)",
    "get_headers_tenants_from_connection": "is not here, as nothing is asynchronous but the trigger",
    "get_job": 'returns a Job and no response: write .name for .json()["data"]["name"]',
    "get_job_by_name": 'returns a Job and no dict: write .id for ["id"]',
    "get_job_details": "is not here, as nothing is asynchronous but the trigger: write get_job_run(run_id)",
    "get_job_run": _RUN,
    "get_job_run_artifact": "returns bytes and no response: write json.loads(…) for .json(), "
    ".decode() for .text",
    "get_job_run_artifacts_concurrently": "is not here: call get_job_run_artifact for each path",
    "get_job_runs": 'is not here: write list_job_runs(job_definition_id=…, order_by="-id", limit=1), '
    "with what the payload holds as arguments; it returns a list of Run",
    "get_job_status": "is not here, as nothing is asynchronous but the trigger: write "
    "get_job_run_status(run_id)",
    "get_project": "is not here: look through list_projects()",
    "get_request_url_params": "is not here",
    "list_accounts": "is not here: get_account() returns that of the connection",
    "list_environments": "returns a list of Environment and no responses, and takes the project's id alone",
    "list_job_run_artifacts": 'returns a list of paths and no response: drop .json()["data"]; takes no step',
    "list_job_runs": 'returns a list of Run and no responses: write run.id for run["id"], drop .json()',
    "list_jobs": 'returns a list of Job and no responses: write job.id for job["id"], drop .json(); '
    "name_contains is name__icontains",
    "list_projects": 'returns a list of Project and no responses: write project.id for project["id"], '
    "drop .json(); no name_contains",
    "log_job_run_failure_details": "is not here: the error says it",
    "retry_failed_job_run": "is not here: retry_job_run(run_id) takes the run that failed, and no job",
    "run": "is not here: use the hook's own methods",
    "run_with_advanced_retry": "is not here: use the hook's own methods",
    "trigger_job_run": "returns a Run and no response: write .id and .href; the fields of "
    "additional_run_config are arguments (**config), and retry_job_run(run_id) stands for retry_from_failure",
    "wait_for_job_run_status": "is wait_for_job_run(run_id, check_interval=…, timeout=…) here: it returns "
    "the Run, or raises DbtCloudRunFailed, DbtCloudRunCancelled or DbtCloudWaitTimeout",
    "_paginate": "is not here: the methods that list read all pages by themselves",
    "_run_and_get_response": "is not here: use the hook's own methods",
}
HOOK_ATTRIBUTES = {
    "connection": "is not here: write hook.get_connection(hook.dbt_cloud_conn_id)",
    "base_url": "is not here: write hook.get_conn().base_url",
    "retry_args": "is not here: retry_limit and retry_delay are numbers",
}
STATUS_ATTRIBUTES = {
    "NON_TERMINAL_STATUSES": "write (1, 2, 3), or ask `not hook.get_job_run(run_id).is_terminal`",
    "TERMINAL_STATUSES": "write (10, 20, 30), or ask hook.get_job_run(run_id).is_terminal",
    "check_is_valid": "drop it: a status that nobody knows is one of a run that goes on",
    "is_terminal": "ask hook.get_job_run(run_id).is_terminal",
}
# What a subclass, or whoever holds a task, finds there and not here.
TASK_ATTRIBUTES = {
    "hook": "make one, DbtCloudHook(task.dbt_cloud_conn_id)",
    "run_id": "read the XCom job_run_id",
    "_get_or_trigger_run": "the run is started otherwise",
    "_handle_terminal_status": "the end of the run is judged otherwise",
    "_resolve_job_id": "the job is looked up otherwise",
}
# Parameters that mean a little else, if they are True.
WISHES = {
    "retry_from_failure": "repeats what failed in the run of the task's own try before, and no longer in the "
    "latest run of the job, whoever started it",
    "reuse_existing_run": "takes up only a run with the same overrides that is of no pull request, and never "
    "cancels it",
}
RELATED = frozenset({"trigger", "audit"})
# What additional_run_config may hold.
RUN_FIELDS = frozenset(
    {
        "azure_pull_request_id",
        "dbt_version_override",
        "generate_docs_override",
        "git_branch",
        "git_sha",
        "github_pull_request_id",
        "gitlab_merge_request_id",
        "non_native_pull_request_id",
        "schema_override",
        "steps_override",
        "target_name_override",
        "threads_override",
        "timeout_seconds_override",
    }
)
