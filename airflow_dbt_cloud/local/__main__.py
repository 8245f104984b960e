"""Start the local server."""

# Every dbt process imports this module as its main module; it must not drag the web server in with it.
if __name__ == "__main__":
    import sys

    from airflow_dbt_cloud.local.command_line import main

    sys.exit(main())
