"""Imports dbt, and remembers why that cannot be done.

The fork server imports this module before all else. An import that fails there would end it with a
traceback; this way the server can say in one line what is wrong.
"""

from __future__ import annotations

import traceback

FAILURE: str | None = None
try:
    import dbt.adapters.duckdb
    import dbt.cli.main
    import dbt.include.duckdb  # noqa: F401
except (Exception, SystemExit) as error:  # noqa: BLE001 - a broken installation fails in any way
    FAILURE = traceback.format_exception_only(error)[-1].strip()
