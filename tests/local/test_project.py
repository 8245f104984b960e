"""Tests of `airflow_dbt_cloud.local.project`."""

import pytest

from airflow_dbt_cloud.local.errors import StartError
from airflow_dbt_cloud.local.project import derived_id, read_project, slug


def test_declared_things_are_read(project):
    """Environments and jobs are as the file says, with the documented defaults."""
    folder = read_project(project)
    assert folder.account.name == "Ferry Line"
    assert folder.project.name == "ferry"
    production, _, slow_lane = folder.environments
    assert (production.deployment_type, production.schema) == ("production", "analytics")
    assert (slow_lane.deployment_type, slow_lane.schema) == (None, "main")
    nightly = folder.jobs[0]
    assert nightly.commands == ("dbt seed", "dbt run --select trips", "dbt test")
    assert (nightly.threads, nightly.timeout_seconds, nightly.target_name) == (4, 0, "default")
    assert nightly.generate_docs
    assert nightly.run_generate_sources


def test_ids_come_from_names(project):
    """An id that the file does not give has 14 digits and is the same everywhere."""
    job = read_project(project).jobs[0]
    assert job.id == derived_id("job", "Nightly build") == 70403128624569
    assert derived_id("environment", "Nightly build") != job.id


def test_given_ids_count(project):
    """An id that the file gives is kept."""
    file = project / "dbt_cloud.yml"
    file.write_text(file.read_text().replace("- name: Report", "- id: 70403100000001\n    name: Report"))
    assert read_project(project).jobs[1].id == 70403100000001


JOB = "environments: [{name: P}]\njobs: [{name: J, environment: P, commands: [dbt build]%s}]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jobs: [", "is not valid YAML"),
        ("- a", "found ['a'], expected keys and values"),
        ("jobs: []", "environments: found nothing, expected a list with at least one entry"),
        ("environments: [x]", "environments[0]: found 'x', expected keys and values"),
        ("environments: [{name: 7}]", "environments[0].name: found 7, expected a text"),
        (
            "environments: [{name: P, deployment_type: prod}]",
            "deployment_type: found 'prod', expected one of production, staging",
        ),
        (
            "environments: [{name: P, schem: x}]",
            "environments[0].schem: found a key that is not known, expected one of",
        ),
        (
            "environments: [{name: P}, {name: p}]\njobs: [{name: J, environment: P, commands: [dbt run]}]",
            "share",
        ),
        (JOB % ", threads: four", "jobs[0].threads: found 'four', expected a whole number of at least 1"),
        (JOB % ", threads: 0", "jobs[0].threads: found 0, expected a whole number of at least 1"),
        (JOB % ", timeout: true", "jobs[0].timeout: found True, expected a whole number of at least 0"),
        (JOB % ", generate_docs: 'yes'", "jobs[0].generate_docs: found 'yes', expected true or false"),
        (
            JOB % ", id: 99999999999999999",
            "jobs[0].id: found 99999999999999999, expected a whole number of at most",
        ),
        (
            JOB.replace("dbt build", "rm -rf /") % "",
            "jobs[0].commands[0]: found 'rm -rf /', expected a command",
        ),
        (
            JOB.replace("environment: P", "environment: Q") % "",
            "jobs[0].environment: found 'Q', expected one of P",
        ),
        (JOB.replace("environment: P, ", "") % "", "jobs[0].environment: found nothing, expected the name"),
        (
            JOB.replace("environment:", "enviroment:") % "",
            "jobs[0].enviroment: found a key that is not known",
        ),
        (JOB.replace("environments", "enviroments") % "", "enviroments: found a key that is not known"),
        (
            JOB.replace("[dbt build]", "dbt build") % "",
            "jobs[0].commands: found 'dbt build', expected a list",
        ),
        (
            JOB.replace("[dbt build]", "[dbt seed, dbt]") % "",
            "jobs[0].commands[1]: found 'dbt', expected a command that begins with \"dbt \"",
        ),
        (
            JOB.replace("dbt build", '"dbt run \\0"') % "",
            "jobs[0].commands[0]: found 'dbt run \\x00', expected",
        ),
        (JOB.replace("name: J", r'name: "\uD800"') % "", "jobs[0].name: found '\\ud800', expected a text"),
        (JOB.replace("name: J", "name: yes") % "", "found True, expected a text: put it in quotes"),
        (
            JOB.replace("name: J", "name: 2026-11-23") % "",
            "found 2026-11-23, expected a text: put it in quotes",
        ),
        (JOB.replace("name: J", "name: 2026-13-01") % "", "is not valid YAML: month must be in 1..12"),
        (JOB % ", timeout: 1h", "jobs[0].timeout: found '1h', expected a whole number of at least 0"),
        (
            JOB % f", timeout: {10**30}",
            f"jobs[0].timeout: found {10**30}, expected a whole number of at most",
        ),
        (JOB % ", threads: 2, threads: 3", "is not valid YAML: found the key 'threads' twice"),
        (JOB % ", threads: " + "[" * 5000, "is not valid YAML"),
        ("a: " + "[" * 5000 + "]" * 5000, "is not valid YAML: it is nested too deeply"),
        (JOB % "" + "\naccount: []", "account: found [], expected keys and values, of id, name"),
        (JOB % "" + "\nproyect: {}", "proyect: found a key that is not known"),
        (JOB % "" + "\naccount: {idd: 1}", "account.idd: found a key that is not known"),
    ],
)
def test_a_malformed_file_is_explained(project, text, expected):
    """The error names the file and the key, what was found and what is expected."""
    (project / "dbt_cloud.yml").write_text(text)
    with pytest.raises(StartError) as caught:
        read_project(project)
    assert str(project / "dbt_cloud.yml") in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_dbt_reads_is_no_matter_of_ours(project):
    """A key that is twice in dbt_project.yml is refused by dbt or by nobody."""
    file = project / "dbt_project.yml"
    file.write_text(file.read_text() + "name: ferry\n")
    assert read_project(project).project.name == "ferry"


def test_a_folder_that_is_no_project(tmp_path):
    """Without dbt_project.yml the folder is probably the wrong one."""
    with pytest.raises(StartError, match=r"dbt_project.yml does not exist: .*is --project the right folder"):
        read_project(tmp_path)


def test_slugs():
    """A file name is made of lower case letters, digits and underscores."""
    assert slug("Pre-Prod (EU)") == "pre_prod_eu"
