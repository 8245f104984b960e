"""
The tab "dbt" on Airflow's page of a task instance: what Airflow's API server serves for it.

`static` holds the pages' modules, which are served as they are. All else is the routes that they ask:
`application` says what there is, `database` and `xcoms` read what tasks have stored, `document` puts it
together, `sight` looks at a run that goes, and `live` shares each look among all who watch. The dbt Cloud
token never leaves this process.
"""
