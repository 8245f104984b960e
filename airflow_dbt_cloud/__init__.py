"""Run dbt Cloud jobs from Apache Airflow and trust the result."""

__version__ = "1.0.0"
