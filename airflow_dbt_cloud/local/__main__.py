"""Start the local server."""

# Every dbt process imports this module as its main module; it must not drag the web server in with it.
if __name__ == "__main__":
    import sys

    try:
        from airflow_dbt_cloud.local.command_line import main
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("airflow_dbt_cloud"):
            raise
        sys.stderr.write(
            f"error: {error.name} is not installed for {sys.executable}: "
            "pip install 'airflow-dbt-cloud[local]', or in a clone '.[local]'\n"
        )
        sys.exit(2)
    sys.exit(main())
