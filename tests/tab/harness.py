"""
Serve the tab without Airflow, to look at it: `python tests/tab/harness.py --react FOLDER`.

FOLDER is where `npm install react@18 react-dom@18` was called: the last React that comes as plain scripts.
Then open http://127.0.0.1:8790/?case=failed-1000&theme=dark&dir=rtl (the cases are in `answers.py`).
"""

import argparse
import json
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import answers

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "airflow_dbt_cloud" / "tab" / "static"
TYPES = {".js": "text/javascript", ".html": "text/html; charset=utf-8", ".svg": "image/svg+xml"}
# When runs that go have begun: with each load of the page.
BEGAN = {}


@cache
def stored(case, count):
    """Return the answer for a case, made once."""
    return answers.make_answer(case, count)


class Handler(BaseHTTPRequestHandler):
    """Answers what the plugin would, and the page around it."""

    react = Path()

    def do_GET(self):
        """Answer a file or a canned JSON."""
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/")[1:]]
        match parts:
            case [""]:
                BEGAN.clear()
                self.answer_file(HERE, "harness.html")
            case ["react", *path]:
                self.answer_file(self.react / "node_modules", "/".join(path))
            case ["dbt-cloud", "static", _version, *path]:
                self.answer_file(STATIC, "/".join(path))
            case ["dbt-cloud", kind, _dag, _run, task, _index]:
                self.answer_json(kind, task)
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    def answer_file(self, folder, path):
        """Answer a file of a folder."""
        file = (folder / path).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.answer(file.read_bytes(), TYPES.get(file.suffix, "text/plain"))

    def answer_json(self, kind, task):
        """Answer what a route tells of the case that the task is named after."""
        case, _, count = task.partition("-")
        count, now = int(count or 0), datetime.now(UTC)
        began = BEGAN.setdefault(task, now)
        if kind == "live":
            told = answers.make_live(count, began, now)
        elif case == "live":
            told = answers.make_going(count, began, now)
        else:
            told = stored(case, count)
        self.answer(json.dumps(told).encode(), "application/json")

    def answer(self, body, content_type):
        """Send a body."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        """Say nothing."""


def main():
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--react", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8790)
    arguments = parser.parse_args()
    Handler.react = arguments.react
    ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
