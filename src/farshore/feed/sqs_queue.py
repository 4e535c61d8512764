"""One SQS queue: receive, delete, hold. The only place that knows the AWS SDK's errors.

Batches, visibility and their limits: the SQS API reference (ReceiveMessage,
DeleteMessageBatch, ChangeMessageVisibilityBatch). The endpoint is the queue URL's own
scheme and host, so that VPC endpoints and stand-ins for SQS need no other setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from farshore.credentials import Credentials
from farshore.errors import (
    BadRequest,
    ConfigError,
    Denied,
    Gone,
    ServerFault,
    StoreError,
    Throttled,
    Unreachable,
)

BATCH_MAX = 10
"""Messages in one request, by SQS's own limit."""

CONNECT_SECONDS_MAX = 5
READ_SECONDS_SPARE = 10
"""An answer may come this much after the end of a long poll."""

ATTEMPTS_MAX = 2
"""Tries of one request; a feed that fails is started again by its supervisor."""

CONNECTIONS_MAX = 16

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "KmsAccessDenied",
    "KMS.AccessDeniedException",
    "MissingAuthenticationToken",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_GONE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_THROTTLED = {
    "KmsThrottled",
    "OverLimit",
    "RequestThrottled",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}


class Message(NamedTuple):
    """`receipt` is the right to delete or hold this receive of the message."""

    message_id: str
    receipt: str
    body: bytes
    receives: int


class SqsQueue:
    """Every method raises a `StoreError`; `Denied` also when temporary keys have ended."""

    def __init__(self, url: str, client: Any, stack: AsyncExitStack) -> None:
        self._url = url
        self._client = client
        self._stack = stack

    @classmethod
    async def open(
        cls, url: str, region: str, keys: Credentials, *, wait_s: int, ca_file: Path | None = None
    ) -> Self:
        """No request is sent yet. `ConfigError` when the SDK is not installed."""
        session = _session()
        from aiobotocore.config import AioConfig

        from farshore.sdk import SdkSession

        parts = urlsplit(url)
        stack = AsyncExitStack()
        with _translated("connect", url):
            client = await stack.enter_async_context(
                session.create_client(
                    "sqs",
                    region_name=region,
                    endpoint_url=f"{parts.scheme}://{parts.netloc}",
                    aws_access_key_id=keys.access_key,
                    aws_secret_access_key=keys.secret_key,
                    aws_session_token=keys.session_token or None,
                    verify=str(ca_file) if ca_file else None,
                    config=AioConfig(
                        http_session_cls=SdkSession,
                        connect_timeout=CONNECT_SECONDS_MAX,
                        read_timeout=wait_s + READ_SECONDS_SPARE,
                        max_pool_connections=CONNECTIONS_MAX,
                        retries={"mode": "standard", "total_max_attempts": ATTEMPTS_MAX},
                    ),
                )
            )
        return cls(url, client, stack)

    async def receive(self, most: int, *, wait_s: int, visibility_s: int) -> list[Message]:
        """Up to `most` (10 at the utmost) messages, hidden from others for `visibility_s`."""
        with _translated("ReceiveMessage", self._url):
            answer = await self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(most, BATCH_MAX),
                WaitTimeSeconds=wait_s,
                VisibilityTimeout=visibility_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [_message(entry) for entry in answer.get("Messages", ())]

    async def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages. A receipt that is no longer good is passed over: SQS gives that
        message again, and it will be deleted then."""
        for batch in _batches(receipts):
            entries = [{"Id": str(n), "ReceiptHandle": r} for n, r in enumerate(batch)]
            with _translated("DeleteMessageBatch", self._url):
                answer = await self._client.delete_message_batch(
                    QueueUrl=self._url, Entries=entries
                )
            self._refuse_faults("DeleteMessageBatch", answer)

    async def hold(self, receipts: Sequence[str], seconds: int) -> None:
        """Keep messages hidden for `seconds` from now; 0 gives them back at once. Receipts that
        are no longer good, or held for 12 hours already, are passed over."""
        for batch in _batches(receipts):
            entries = [
                {"Id": str(n), "ReceiptHandle": r, "VisibilityTimeout": seconds}
                for n, r in enumerate(batch)
            ]
            with _translated("ChangeMessageVisibilityBatch", self._url):
                answer = await self._client.change_message_visibility_batch(
                    QueueUrl=self._url, Entries=entries
                )
            self._refuse_faults("ChangeMessageVisibilityBatch", answer)

    async def aclose(self) -> None:
        await self._stack.aclose()

    def _refuse_faults(self, action: str, answer: dict[str, Any]) -> None:
        """A failed entry that is not the sender's fault means that the service failed."""
        faults = [entry for entry in answer.get("Failed", ()) if not entry.get("SenderFault")]
        if faults:
            code = str(faults[0].get("Code", ""))
            raise ServerFault(
                f"{action} on {self._url} failed for {len(faults)} messages: {code}.", code=code
            )


def _session() -> Any:
    try:
        from aiobotocore.session import get_session
    except ImportError:
        raise ConfigError(
            'A feed of kind "sqs" needs aiobotocore, which is not installed.',
            hint="Install it: pip install 'farshore[sqs]'",
        ) from None
    return get_session()


def _message(entry: dict[str, Any]) -> Message:
    attributes = entry.get("Attributes", {})
    return Message(
        entry["MessageId"],
        entry["ReceiptHandle"],
        entry.get("Body", "").encode(),
        int(attributes.get("ApproximateReceiveCount", 1)),
    )


def _batches(receipts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(receipts), BATCH_MAX):
        yield receipts[start : start + BATCH_MAX]


@contextmanager
def _translated(action: str, url: str) -> Iterator[None]:
    """The SDK's errors as ours."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as SdkConnectionError

    what = f"{action} on {url}"
    try:
        yield
    except ClientError as error:
        raise _refusal(what, error.response) from None
    except (HTTPClientError, SdkConnectionError, OSError) as error:
        raise Unreachable(
            f"{what}: no answer ({type(error).__name__}).",
            action=what,
            hint="Is the queue's host right, and does the network let us reach it?",
        ) from None
    except BotoCoreError as error:
        raise BadRequest(
            f"The AWS SDK cannot be used for {url}: {type(error).__name__}.",
            hint="Look at AWS_PROFILE, AWS_CONFIG_FILE, AWS_CA_BUNDLE and ~/.aws/config.",
        ) from None


def _refusal(what: str, response: dict[str, Any]) -> StoreError:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    message = f"{what} was refused: {code or status}."
    if code in _THROTTLED or status in (429, 503):
        return Throttled(message, status=status, code=code, action=what)
    if code in _GONE:
        hint = "Make the queue, or correct queue_url and region in farshore.toml."
        return Gone(message, status=status, code=code, action=what, hint=hint)
    if code in _DENIED or status in (401, 403):
        hint = (
            "The keys must be good and allow sqs:ReceiveMessage, sqs:DeleteMessage and "
            "sqs:ChangeMessageVisibility on this queue."
        )
        return Denied(message, status=status, code=code, action=what, hint=hint)
    if status >= 500:
        return ServerFault(message, status=status, code=code, action=what)
    return BadRequest(message, status=status, code=code, action=what)
