"""A dbt Cloud on a laptop, for demos, DAG development and tests: `python -m airflow_dbt_cloud.local --help`.

It shares no code with the client, so that a field which one of the two misreads is caught and not mirrored.
"""
