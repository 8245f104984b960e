"""A dbt Cloud on a laptop, for demos, DAG development and tests.

Start it with `python -m airflow_dbt_cloud.local`; `--help` explains it.

It shares no code with the client, so that a field which one of the two misreads is caught and not mirrored.
"""
