"""A real Airflow and a local dbt Cloud on one machine, for `make demo` and for the end-to-end tests."""
