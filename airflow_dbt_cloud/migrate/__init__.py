"""
Rewrites DAG files from `apache-airflow-providers-dbt-cloud` to this package.

Start it with `python -m airflow_dbt_cloud.migrate dags/`; `--help` explains it.

It reads files and imports none of them, nor Airflow, nor the rest of this package.
"""
