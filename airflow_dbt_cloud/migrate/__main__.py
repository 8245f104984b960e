"""Start the migration."""

if __name__ == "__main__":
    import sys

    try:
        from airflow_dbt_cloud.migrate.command_line import main
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "libcst":
            raise
        sys.stderr.write(
            f"error: libcst is not installed for {sys.executable}: pip install 'airflow-dbt-cloud[migrate]'\n"
        )
        sys.exit(2)
    # A chain of some hundred tasks, `a >> b >> …`, is nested as deep as it is long.
    sys.setrecursionlimit(10_000)
    sys.exit(main())
