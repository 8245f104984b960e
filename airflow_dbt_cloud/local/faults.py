"""Faults on demand: how a client behaves when dbt Cloud, or the way to it, does not.

A fault is written `kind:key=value,key=value` or as a JSON object `{"kind": ..., key: value}`. Faults of
requests apply to requests under `/api/`, faults of runs to runs as a whole.

Invariant: all methods may be called from any thread.
"""

from __future__ import annotations

import random
import re
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_dbt_cloud.local.json_text import LARGEST_NUMBER, is_text, read_json, why_unfit
from airflow_dbt_cloud.local.records import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_dbt_cloud.local.records import Run

# Each kind with its own keys, and whether it concerns requests or runs.
_REQUEST_KINDS: dict[str, frozenset[str]] = {
    "lose_reply": frozenset(),
    "refuse": frozenset(),
    "status": frozenset({"code", "body", "retry_after", "location"}),
    "delay": frozenset({"wait"}),
    "delay_reply": frozenset({"wait"}),
    "truncate": frozenset(),
}
_RUN_KINDS: dict[str, frozenset[str]] = {
    "artifact_delay": frozenset({"wait"}),
    "stale_logs": frozenset({"wait", "lines"}),
    "hide_run": frozenset({"wait"}),
    "run_status": frozenset({"code", "wait"}),
    "slow_start": frozenset({"wait"}),
}
_OTHER_KINDS: dict[str, frozenset[str]] = {"rotate_token": frozenset({"token"})}
_KINDS = {**_REQUEST_KINDS, **_RUN_KINDS, **_OTHER_KINDS}
_RUN_SELECTORS = frozenset({"job_id", "times", "rate", "seed", "seconds"})
_REQUEST_SELECTORS = _RUN_SELECTORS | {"method", "path"}
_NUMBERS = {"code": int, "lines": int, "job_id": int, "times": int, "seed": int}
_FRACTIONS = frozenset({"wait", "rate", "seconds", "retry_after"})
_BODIES = ("json", "html", "empty")


class FaultError(ValueError):
    """A fault that cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it was asked for."""

    kind: str
    wait: float = 0.0
    code: int = 500
    body: str = "json"
    retry_after: float | None = None
    location: str | None = None
    lines: int = 0
    token: str | None = None
    method: str | None = None
    path: str | None = None
    job_id: int | None = None
    times: int | None = None
    rate: float = 1.0
    seed: int = 0
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Give what was asked for, without what was not; never the token."""
        shown = {"kind"} | _KINDS[self.kind] | _REQUEST_SELECTORS
        given = {name: value for name, value in asdict(self).items() if name in shown and value is not None}
        return {**given, "token": "***"} if "token" in given else given


@dataclass(slots=True)
class _Armed:
    """A fault in force, with what it did so far."""

    fault: Fault
    id: int
    expires_at: float
    draws: random.Random
    left: int | None
    runs: dict[int, bool] = field(default_factory=dict)
    fired: int = 0


class Faults:
    """The faults in force."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._clock, self._wall_clock = clock, wall_clock
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self._last_id = 0

    def add(self, fault: Fault) -> dict[str, Any]:
        """Put a fault in force."""
        with self._lock:
            self._last_id += 1
            expires_at = float("inf") if fault.seconds is None else self._clock() + fault.seconds
            armed = _Armed(fault, self._last_id, expires_at, random.Random(fault.seed), fault.times)
            self._armed.append(armed)
            return _shown(armed)

    def clear(self) -> None:
        """Lift all faults."""
        with self._lock:
            self._armed.clear()

    def in_force(self) -> list[dict[str, Any]]:
        """List the faults in force, with how often each struck."""
        with self._lock:
            return [_shown(armed) for armed in self._in_force()]

    def for_request(self, method: str, path: str, job_id: int | None) -> list[Fault]:
        """List the faults that strike a request, in the order in which they were set."""
        with self._lock:
            return [
                armed.fault
                for armed in self._in_force()
                if armed.fault.kind in _REQUEST_KINDS
                and _selects(armed.fault, method, path, job_id)
                and _strikes(armed)
            ]

    def rotated_token(self) -> str | None:
        """Give the only token that is valid now, if there is one."""
        with self._lock:
            tokens = [armed.fault.token for armed in self._in_force() if armed.fault.kind == "rotate_token"]
            return tokens[-1] if tokens else None

    def hides(self, run: Run) -> bool:
        """Whether nobody can see the run yet."""
        fault = self._for_run("hide_run", run)
        return fault is not None and self._wall_clock() < run.created_at + fault.wait

    def shown(self, run: Run) -> Run:
        """Give the run as it is shown: a status that is not its own takes along all that tells of an end."""
        fault = self._for_run("run_status", run)
        if fault is None or self._wall_clock() >= run.created_at + fault.wait:
            return run
        status = Status.of_number(fault.code)
        return replace(run, status=status, status_message=None, cancelled_by=None, finished_at=None)

    def start_delay(self, run: Run) -> float:
        """How many seconds the first step takes."""
        fault = self._for_run("slow_start", run)
        return fault.wait if fault else 0.0

    def withholds_artifacts(self, run: Run) -> bool:
        """Whether the artifacts of a run are not there yet."""
        fault = self._for_run("artifact_delay", run)
        return fault is not None and self._wall_clock() < (run.finished_at or float("inf")) + fault.wait

    def log_lines(self, run: Run) -> int | None:
        """How many lines of a step's log can be seen; nothing means all."""
        fault = self._for_run("stale_logs", run)
        if fault is None or self._wall_clock() >= (run.finished_at or float("inf")) + fault.wait:
            return None
        return fault.lines

    def _for_run(self, kind: str, run: Run) -> Fault | None:
        """Whether a fault strikes is decided once for each run."""
        with self._lock:
            for armed in self._in_force():
                if armed.fault.kind != kind or armed.fault.job_id not in (None, run.job.id):
                    continue
                if run.id not in armed.runs:
                    armed.runs[run.id] = _strikes(armed)
                if armed.runs[run.id]:
                    return armed.fault
            return None

    def _in_force(self) -> list[_Armed]:
        now = self._clock()
        self._armed = [armed for armed in self._armed if now < armed.expires_at]
        return self._armed


def read_fault(text: str) -> Fault:
    """Read a fault from text: `kind:key=value,...` or a JSON object."""
    if text.lstrip().startswith("{"):
        try:
            values = read_json(text)
        except ValueError as error:
            raise FaultError(f"{text!r} is not JSON: {error}") from error
        return fault_from_json(values)
    kind, _, rest = text.partition(":")
    values = {"kind": kind.strip()}
    # A comma inside a value (a path's regular expression) is no separator: what follows one must be `key=`.
    for part in re.split(r",(?=\s*\w+=)", rest) if rest.strip() else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise FaultError(f"{text!r}: found {part!r}, expected key=value")
        values[key.strip()] = value.strip()
    return fault_from_json(values)


def fault_from_json(values: object) -> Fault:
    """Read a fault from a JSON object, or from a JSON text in the short form; numbers may be texts."""
    if isinstance(values, str):
        return read_fault(values)
    if not isinstance(values, dict):
        raise FaultError(f"found {values!r}, expected a JSON object with the key kind")
    if (reason := why_unfit(list(values))) is not None:
        raise FaultError(reason)
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise FaultError(f"kind: found {kind!r}, expected one of {', '.join(sorted(_KINDS))}")
    selectors = (
        {"seconds"} if kind in _OTHER_KINDS else _RUN_SELECTORS if kind in _RUN_KINDS else _REQUEST_SELECTORS
    )
    known = {"kind"} | _KINDS[kind] | selectors
    if unknown := sorted(str(key) for key in values if key not in known):
        raise FaultError(
            f"{kind}: found the keys {', '.join(unknown)}, expected some of {', '.join(sorted(known))}"
        )
    fault = Fault(**{key: _read_value(key, value) for key, value in values.items()})
    _check(fault, values)
    return fault


def _read_value(key: str, value: Any) -> Any:
    if key not in _NUMBERS and key not in _FRACTIONS:
        if not isinstance(value, str) or not value or not is_text(value):
            raise FaultError(f"{key}: found {value!r}, expected a text")
        return value
    try:
        number = _NUMBERS.get(key, float)(value)
    except (OverflowError, TypeError, ValueError):
        raise FaultError(f"{key}: found {value!r}, expected a number") from None
    if not number >= 0:
        raise FaultError(f"{key}: found {value!r}, expected a number that is not negative")
    if number > LARGEST_NUMBER:
        raise FaultError(f"{key}: expected a number that fits into 64 bits")
    return number


def _check(fault: Fault, given: dict[str, Any]) -> None:
    for needed in ("code", "token", "wait"):
        if needed in _KINDS[fault.kind] and needed not in given:
            raise FaultError(f"{fault.kind}: the key {needed} is missing")
    _check_code(fault)
    if fault.body not in _BODIES:
        raise FaultError(f"body: found {fault.body!r}, expected one of {', '.join(_BODIES)}")
    if fault.location is not None and not (fault.location.isascii() and fault.location.isprintable()):
        raise FaultError(f"location: found {fault.location!r}, expected a URL in ASCII")
    if fault.rate > 1:
        raise FaultError(f"rate: found {fault.rate}, expected 0 to 1")
    if fault.path is not None:
        try:
            re.compile(fault.path)
        except re.error as error:
            raise FaultError(f"path: {fault.path!r} is no regular expression: {error}") from error


def _check_code(fault: Fault) -> None:
    if fault.kind == "run_status":
        if Status.of_number(fault.code).is_terminal:
            raise FaultError(f"code: found {fault.code}, expected a status that ends no run")
    elif not 200 <= fault.code <= 599:
        raise FaultError(f"code: found {fault.code}, expected 200 to 599")


def _selects(fault: Fault, method: str, path: str, job_id: int | None) -> bool:
    return (
        (fault.method is None or fault.method.upper() == method)
        and (fault.path is None or re.search(fault.path, path) is not None)
        and fault.job_id in (None, job_id)
    )


def _strikes(armed: _Armed) -> bool:
    if armed.left == 0 or armed.draws.random() >= armed.fault.rate:
        return False
    if armed.left is not None:
        armed.left -= 1
    armed.fired += 1
    return True


def _shown(armed: _Armed) -> dict[str, Any]:
    return {"id": armed.id, **armed.fault.to_json(), "fired": armed.fired}
