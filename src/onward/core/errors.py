"""Every error that can reach a client, with the status, type and code that clients match on.

    OnwardError
    ├── RequestError                400  invalid_request_error
    │   ├── NotFoundError           404
    │   ├── AuthenticationError     401
    │   ├── PermissionError_        403
    │   ├── ConflictError           409  (never for locks: SDKs retry a 409)
    │   ├── PayloadTooLargeError    413
    │   ├── PreviousResponseNotFound
    │   └── ConversationLocked
    ├── RateLimitError              429  keeps the upstream's Retry-After
    ├── UpstreamError               502  the model's server failed or answered nonsense
    │   ├── UpstreamTimeout         504
    │   └── UpstreamUnavailable     503
    ├── ToolServerError             424  a tool server of the request cannot be used
    ├── StorageFull                 507  no space left; never retried by SDKs
    ├── CredentialsLost             500  what gives access to a tool server ended with its process
    └── InternalError               500

A class docstring is its default message. Rendering to a wire shape is a dialect's business.
"""

from typing import ClassVar


class OnwardError(Exception):
    """The server had an error while processing your request. Sorry about that!"""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    run_code: ClassVar[str] = "server_error"
    """`error.code` of a response that fails with this after it has begun."""

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        http_status: int | None = None,
    ) -> None:
        self.message = message if message is not None else (type(self).__doc__ or "").strip()
        self.param = param
        self.code = code
        self.retry_after = retry_after
        self.http_status = http_status if http_status is not None else type(self).status
        self.final = False
        """Sending the same request again at once is of no use, or has been tried: SDKs are told not to."""
        super().__init__(self.message)


class SetupError(Exception):
    """What keeps the server from starting. Its message is for who runs it; it never reaches a client."""


class RequestError(OnwardError):
    """The request is invalid."""

    status = 400
    type = "invalid_request_error"
    run_code = "invalid_prompt"


class NotFoundError(RequestError):
    """The requested resource was not found."""

    status = 404


class AuthenticationError(RequestError):
    """Incorrect API key provided."""

    status = 401


class PermissionError_(RequestError):
    """You do not have access to this resource."""

    status = 403


class ConflictError(RequestError):
    """The resource was changed by another request."""

    status = 409


class PayloadTooLargeError(RequestError):
    """The request body is too large."""

    status = 413


class PreviousResponseNotFound(RequestError):
    """The previous response does not exist, is not stored or was deleted."""

    def __init__(self, response_id: str) -> None:
        super().__init__(
            f"Previous response with id '{response_id}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )


class ConversationLocked(RequestError):
    """A run is active on the conversation. A 400, because SDKs silently retry a 409."""

    def __init__(self) -> None:
        super().__init__(
            "Another process is currently operating on this conversation. Please retry in a few seconds.",
            param="conversation",
            code="conversation_locked",
        )


class RateLimitError(OnwardError):
    """Rate limit reached. Please try again later."""

    status = 429
    type = "rate_limit_error"
    run_code = "rate_limit_exceeded"


class UpstreamError(OnwardError):
    """The model's server answered with an error."""

    status = 502
    type = "server_error"


class UpstreamTimeout(UpstreamError):
    """The model's server did not answer in time."""

    status = 504


class UpstreamUnavailable(UpstreamError):
    """The model's server cannot be reached."""

    status = 503


class ToolServerError(OnwardError):
    """A tool server of the request failed."""

    status = 424
    type = "external_connector_error"


class StorageFull(OnwardError):
    """There is no space left on the server's disk. Free some, or point the server at another data directory."""

    status = 507

    def __init__(self) -> None:
        super().__init__(code="insufficient_storage")


class CredentialsLost(OnwardError):
    """The run cannot go on: what gives access to its tool servers was known to a process that has ended."""


class InternalError(OnwardError):
    """The server had an error while processing your request. Sorry about that!"""
