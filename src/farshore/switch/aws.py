"""One client of an AWS service, opened when it is needed. Needs aiobotocore.

The only place here that knows the SDK's errors. Requests are sent once: whether to try again
is for whoever called to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientConnectorError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
)
from botocore.exceptions import ConnectionError as SdkConnectionError
from botocore.loaders import create_loader

from farshore.credentials import Credentials
from farshore.sdk import SdkSession
from farshore.switch.driver import SwitchError

CONNECT_SECONDS_MAX = 3.0
READ_SECONDS_MAX = 8.0

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_THROTTLED = {
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TooManyUpdates",
}


class ApiSilent(SwitchError):
    """No connection: nothing was sent."""

    usual_hint = "Check `api` and `region` of this driver, and that the network lets us there."


class ApiRefused(SwitchError):
    """The service answered that it will not. Nothing was changed. `code` is its word for it."""

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code

    @property
    def throttled(self) -> bool:
        """The same request may be taken in a moment."""
        return self.code in _THROTTLED


class ApiUnclear(SwitchError):
    """Sent, and no answer that says what became of it. A reading may be tried again."""

    usual_hint = "Run the same command again: it looks first at what is there."


class Api(Protocol):
    """One service of AWS."""

    async def call(self, action: str, **parameters: Any) -> Any:
        """The answer of one action, named as the SDK's methods are.

        `ApiRefused`, `ApiSilent` and `ApiUnclear` as they say."""
        ...

    async def aclose(self) -> None: ...


class AwsApi:
    """`keys` is called at each new connection, and after a refusal: keys may have ended."""

    def __init__(
        self,
        service: str,
        *,
        region: str,
        endpoint: str,
        ca_file: Path | None,
        keys: Callable[[], Awaitable[Credentials]],
        read_s_max: float = READ_SECONDS_MAX,
    ) -> None:
        self._service = service
        self._region = region
        self._endpoint = endpoint
        self._ca_file = ca_file
        self._keys = keys
        self._read_s_max = read_s_max
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def call(self, action: str, **parameters: Any) -> Any:
        with _told(f"{self._service}, {action}"):
            client = self._client or await self._open()
            try:
                return await getattr(client, action)(**parameters)
            except ClientError as error:
                if _code(error) in _DENIED:
                    await self.aclose()  # the next call fetches the keys anew
                raise

    async def aclose(self) -> None:
        self._client = None
        await self._stack.aclose()

    async def _open(self) -> Any:
        keys = await self._keys()
        self._client = await self._stack.enter_async_context(
            _session().create_client(
                self._service,
                region_name=self._region,
                endpoint_url=self._endpoint or None,
                aws_access_key_id=keys.access_key,
                aws_secret_access_key=keys.secret_key,
                aws_session_token=keys.session_token or None,
                verify=str(self._ca_file) if self._ca_file else None,
                config=AioConfig(
                    http_session_cls=SdkSession,
                    connect_timeout=CONNECT_SECONDS_MAX,
                    read_timeout=self._read_s_max,
                    retries={"mode": "standard", "total_max_attempts": 1},
                ),
            )
        )
        return self._client


def _session() -> Any:
    """A session of its own, with the one reader of the SDK's descriptions of services."""
    session = get_session()
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(data_path: str | None) -> Any:
    """It keeps what it has read: a description takes longer to read than any answer to come."""
    return create_loader(data_path)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """The SDK's errors as ours; their own text may hold a request's headers and is left out."""
    try:
        yield
    except ClientError as error:
        raise _refusal(what, error) from None
    except ConnectTimeoutError:
        raise ApiSilent(f"{what}: no connection within {CONNECT_SECONDS_MAX:g} s") from None
    except EndpointConnectionError as error:
        # The SDK has one word for a connection that was never made and one that broke.
        if isinstance(error.kwargs.get("error"), ClientConnectorError):
            raise ApiSilent(f"{what}: no connection") from None
        raise ApiUnclear(f"{what}: the connection broke") from None
    except (HTTPClientError, SdkConnectionError, OSError) as error:
        raise ApiUnclear(f"{what}: no answer ({type(error).__name__})") from None
    except BotoCoreError as error:
        raise SwitchError(
            f"{what}: the AWS SDK cannot be used here ({type(error).__name__})",
            hint="Look at AWS_PROFILE, AWS_CONFIG_FILE, AWS_CA_BUNDLE and ~/.aws/config.",
        ) from None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _refusal(what: str, error: ClientError) -> SwitchError:
    code = _code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _THROTTLED or status == 429:
        hint = "Too many requests of this account at once: run the same command again in a moment."
        return ApiRefused(f"{what}: throttled ({code})", code=code, hint=hint)
    if status >= 500:
        return ApiUnclear(f"{what}: {code} (HTTP {status})")
    if code in _DENIED or status in (401, 403):
        hint = "The keys must be good, and their policy must allow what docs/switch.md names."
        return ApiRefused(f"{what}: denied ({code})", code=code, hint=hint)
    return ApiRefused(f"{what}: refused ({code})", code=code)
