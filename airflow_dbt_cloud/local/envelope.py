"""How dbt Cloud wraps its answers, and the answers that say no.

ApiError
├── InvalidRequest      400, says which field and why
├── InvalidToken        401
├── WrongAccount        403
├── NotFound            404
└── MethodNotAllowed    405, without an envelope
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

NOT_VALID = "is not valid under any of the given schemas"


def success(value: Any, code: int = 200) -> Response:
    """Wrap one thing."""
    return JSONResponse({"status": _status(code, "Success!", ""), "data": value}, code)


def page(rows: list[Any], filters: dict[str, Any], order_by: str | None, total: int) -> Response:
    """Wrap some of a list of things, with the filters as they were understood."""
    return JSONResponse(
        {
            "status": _status(200, "Success!", ""),
            "data": rows,
            "extra": {
                "filters": filters,
                "order_by": order_by,
                "pagination": {"count": len(rows), "total_count": total},
            },
        }
    )


def _status(code: int, user_message: str, developer_message: str | None) -> dict[str, Any]:
    return {
        "code": code,
        "is_success": code < 400,
        "user_message": user_message,
        "developer_message": developer_message,
    }


class ApiError(Exception):
    """An answer that says no."""

    code: int
    user_message: str
    developer_message: str | None = ""

    def response(self) -> Response:
        """Wrap it as dbt Cloud does."""
        status = _status(self.code, self.user_message, self.developer_message)
        return JSONResponse({"status": status, "data": None}, self.code)


class InvalidRequest(ApiError):
    """The request is understood and refused; `reason` is a text, or texts by field."""

    code = 400
    user_message = "The request was invalid. Please double check the provided data and try again."

    def __init__(self, reason: str | dict[str, str]) -> None:
        super().__init__(reason)
        self.reason = reason

    def response(self) -> Response:
        """Say which field, and why."""
        status = _status(self.code, self.user_message, self.developer_message)
        return JSONResponse(
            {"status": status, "data": self.reason, "extra": {}, "error_code": None}, self.code
        )


class InvalidToken(ApiError):
    """No token, or one that is not ours."""

    code = 401
    user_message = "Invalid token."
    developer_message = None


class WrongAccount(ApiError):
    """The token is good, the account in the path is not its own."""

    code = 403
    user_message = "Access denied: Token is not scoped to account."
    developer_message = None


class NotFound(ApiError):
    """There is no such thing."""

    code = 404
    user_message = "The requested resource was not found. Please check that you have the proper permissions."


class MethodNotAllowed(ApiError):
    """The path is right, the method is not."""

    code = 405

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.method = method

    def response(self) -> Response:
        """Answer as Django does."""
        return JSONResponse({"detail": f'Method "{self.method}" not allowed.'}, self.code)
