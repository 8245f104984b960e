"""Start the migration."""

if __name__ == "__main__":
    import os
    import sys

    try:
        from airflow_dbt_cloud.migrate.command_line import main
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "libcst":
            raise
        sys.stderr.write(
            f"error: libcst is not installed for {sys.executable}: "
            "pip install 'airflow-dbt-cloud[migrate]', or in a clone '.[migrate]'\n"
        )
        sys.exit(2)
    # A chain of some hundred tasks, `a >> b >> …`, is nested as deep as it is long.
    sys.setrecursionlimit(10_000)
    try:
        sys.exit(main())
    except BrokenPipeError:
        # Whoever read the diff has seen enough, as `head` has; Python would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
