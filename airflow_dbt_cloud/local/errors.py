"""Why the local server cannot start.

`StartError` is what `--project`, `--state`, the port, the certificate or the installation lacks. Its text
is one line that says what was found, what is expected and what to do; the command line prints it and exits
with 2.
"""

from __future__ import annotations


class StartError(Exception):
    """The server cannot start."""
