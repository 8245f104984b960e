"""What `--help` says beside the options."""

DESCRIPTION = """\
A dbt Cloud on this machine: it answers the Administrative API as dbt Cloud does and
runs real dbt Core jobs on DuckDB. For demos, DAG development and tests.

Jobs are declared in the project folder, in dbt_cloud.yml. What has a default may be left out:

  account:
    name: Ferry Line              # default: Local account
    id: 70403103922125            # default: made from the name, same everywhere
  project:
    name: Ferry Line              # default: the name in dbt_project.yml
  environments:
    - name: Production            # required
      deployment_type: production # or staging; default: neither
      schema: analytics           # target schema; default: main
  jobs:
    - name: Nightly build         # required
      environment: Production     # required
      commands: ["dbt build"]     # required
      description: Builds it all  # default: empty
      threads: 4                  # default: 4
      timeout: 1800               # seconds; default: 0, the account's limit, a day
      generate_docs: true         # default: false
      run_generate_sources: true  # the checkbox for source freshness; default: false
      target_name: default        # default: default
      id: 70403100000001          # projects and environments take one, too

POST .../jobs/ creates jobs as well; those are kept in the state folder. What the API
changes in a job of dbt_cloud.yml lasts until the server's next start.

When it accepts requests, the server prints "Ready: <address>", the account id, the token,
the project's name, the jobs as "Job: <id>  <environment> / <name>", and a line
"export AIRFLOW_CONN_DBT_CLOUD_DEFAULT=..." to connect Airflow with: paste it into the shell
that starts Airflow. Or make a connection of the type dbt_cloud: its host is the address, its
login the account id, its password the token. Tokens of your own are not printed.

The address opens pages with jobs, runs and logs, without a token, on this machine only.
To start a run without Airflow (a cause is required):

  curl http://127.0.0.1:8580/api/v2/accounts/70403103922125/jobs/70403100000001/run/ \\
    -H 'Authorization: Token dbtc_local_token' -H 'Content-Type: application/json' \\
    -d '{"cause": "a first try"}'
"""

ASSUMPTIONS = """\
what a run is:
  Each run works in a copy of the project folder, uncommitted changes included, without
  what dbt generates; with git_branch or git_sha, in that commit instead. Every environment
  is one DuckDB file, <state>/warehouse/<name>.duckdb, that dbt commands use in turns.
  Runs of one job go one after another, of different jobs at a time up to --run-slots;
  a run with a pull request id starts at once. Of this server's environment variables dbt
  sees DBT_*, but for those that a run sets itself. Runs, logs and artifacts outlive a
  restart; runs that were going are cancelled, queued ones start. One server to a state
  folder; delete the folder to begin anew.

faults, with --fault and POST /local/faults/ (GET lists them, DELETE lifts them):
  KIND:KEY=VALUE,... or {"kind": KIND, KEY: VALUE, ...}
  of requests to /api/:
    lose_reply          do the work, then drop the connection without a byte
    refuse              drop the connection before doing anything
    status              answer code=N, with body=json|html|empty, retry_after=S, location=URL
    delay               answer after wait=S seconds
    delay_reply         do the work, then answer after wait=S seconds
    truncate            answer with the first half of the body
  of runs:
    slow_start          the clone step takes wait=S seconds, and can be cancelled
    hide_run            404 and in no list for wait=S seconds after the trigger
    run_status          the status is code=N, and tells no end, for wait=S seconds after the
                        trigger, whose own answer still has the real one
    artifact_delay      404 for wait=S seconds after the end
    stale_logs          logs stop after lines=N (0) until wait=S seconds after the end
  of tokens:
    rotate_token        only token=T is valid from now on
  which requests or runs: job_id=N, times=N (how often), rate=0..1 with seed=N,
  seconds=S (for how long); requests also method=M and path=REGEX.
  GET /local/requests/ counts the requests to the API by method and path template.

what dbt Cloud does here is not public; these are assumptions:
  limit above 100 is refused with 400. A refused retry answers 400 with the reason as data.
  Cancelling a finished run answers 200 and changes nothing. A trigger with --queue-limit
  runs waiting answers 400. A cause that is missing or longer than 255 characters answers
  400 with the field. 429 has no headers unless a fault adds Retry-After. Repeated
  include_related add up. Commands after a failed one are not listed as steps. Logs of a
  running step grow line by line. Explicit null is accepted for every field of a trigger.
  With git_sha and git_branch the sha is checked out. Artifacts appear when the run ends;
  ?step=N gives the target folder as it was after that step, if the step wrote to it.
  A time range with an offset loses the start's time of day. A retry's cause is "This run
  resumed execution from last failed step". A rerun after a failure that cannot be retried
  is a full run with the same overrides. A deleted job answers 404. Creating a job answers
  201, deleting one 200 with the job, as recorded. A newer run of a pull request cancels
  the older one whichever commits they name.

what is refused with 400 because this server does not do it: other dbt versions than the
  installed one (its names: 1.11.x, 1.11, 1.11.latest, 1.11-latest, 1.11.0-latest, latest,
  versionless), commits and branches that are not there, and in jobs: schedules and other
  triggers, deferral, comparing changes, linting, cost optimization, webhooks.
"""
