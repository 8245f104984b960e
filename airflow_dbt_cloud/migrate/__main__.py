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
    sys.exit(main())
