"""Calls to AWS in our errors: what another try may mend is told apart from what a person has to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import boto3
from botocore import exceptions
from botocore.config import Config

from soulcaster.errors import PermanentError, TransientError

CALMLY = Config(connect_timeout=10, read_timeout=30, retries={"mode": "adaptive", "max_attempts": 6})
"""For calls that may wait: botocore itself slows down and asks again when it is told to."""

BRIEFLY = Config(connect_timeout=4, read_timeout=8, retries={"mode": "standard", "max_attempts": 2})
"""For a look in passing."""

_S3 = Config(signature_version="s3v4", s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"})
"""Left to itself botocore signs addresses by Signature Version 2 in older regions, which signs no header, and leads
them to the global name, which redirects; whoever gets our addresses follows no redirect."""

_TRANSIENT = {
    "InternalError", "InternalFailure", "LimitExceededException", "RequestLimitExceeded", "RequestTimeout",
    "ServerException", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException",
    "TooManyRequestsException",
}  # fmt: skip
_SIGN_IN = (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.TokenRetrievalError)


_opening = threading.Lock()


def open_client(service: str, *, region: str, endpoint_url: str | None, config: Config = CALMLY) -> Any:  # noqa: ANN401  boto3 has no types
    """A client of that service, from the session of this process: the descriptions of services are read once."""
    config = config.merge(_S3) if service == "s3" else config
    with _opening:  # clients may be used by many threads, but not opened by many
        return call(
            f"Opening a client of {service}", boto3.client,
            service_name=service, region_name=region, endpoint_url=endpoint_url, config=config,
        )  # fmt: skip


def call(doing: str, ask: Callable[..., Any], **words: Any) -> Any:  # noqa: ANN401  boto3 has no types
    """What the call gives back; a `ClientError` with another code than ours below comes through as our error.

    Raises:
        TransientError: no answer, throttled, or a fault over there.
        PermanentError: refused: credentials, rights, names or parameters.
    """
    try:
        return ask(**words)
    except exceptions.ClientError as error:
        code, told = code_of(error), str(error.response.get("Error", {}).get("Message", ""))[:300]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _TRANSIENT or status >= 500:  # noqa: PLR2004  a fault over there, by HTTP
            raise TransientError(f"{doing} was answered with {code}: {told}; try again.") from error
        raise PermanentError(f"{doing} was refused with {code}: {told}; see `soulcaster doctor`.") from error
    except _SIGN_IN as error:
        raise PermanentError(f"{doing} needs AWS credentials: {error}; see docs/fixes.md.") from error
    except exceptions.ParamValidationError as error:
        raise PermanentError(f"{doing} was not sent, a setting has no valid value: {str(error)[:300]}") from error
    except exceptions.BotoCoreError as error:
        raise TransientError(f"{doing} got no answer ({type(error).__name__}); try again.") from error


def code_of(error: exceptions.ClientError) -> str:
    """The name AWS gives to what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))
