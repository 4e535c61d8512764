"""Every error that farshore raises, as one tree.

    FarshoreError                 exit 1
    ├── UsageError                exit 2   the command line is wrong
    │   └── ConfigError                    the file is wrong: lists every problem
    ├── NotSafe                   exit 4   differences were found
    ├── Refused                   exit 5   a safety rule says no
    ├── StateError                exit 1   our own files on disk cannot be used
    ├── LabError                  exit 1   a local region did not start or stop
    └── StoreError                exit 1   a site's storage said no, or nothing
        ├── Unreachable           retryable   no connection, or it broke before we sent
        ├── ServerFault           retryable   5xx
        ├── Throttled             retryable   SlowDown, 429, 503
        ├── OutcomeUnknown        exit 6      sent, and no answer: look before trying again
        ├── Denied                            403: rights or credentials
        │   ├── ClockSkew                     the two clocks differ too much to sign
        │   └── KeysEnded             retryable   temporary keys ended; newer ones are there
        ├── Gone                              404/405: key, version or upload is not there
        │   └── BucketMissing
        │       └── TargetMissing             with it, all that was copied there
        ├── Precondition                      412/409: somebody else wrote
        ├── Corrupt                           bytes or a listing are not what was promised
        │   └── BadListing                    out of order, cut short, or incomplete
        ├── Unsupported                       this server or this object cannot do it
        └── BadRequest                        any other 4xx: a defect of ours, or a limit

Each class carries `exit_code`, `retryable`, `cause_word` (a stable word for counters) and
`usual_hint`; each instance says what happened, and `hint` what to do next. No
message ever contains a secret: credentials never reach these constructors.
"""

from __future__ import annotations


class FarshoreError(Exception):
    """What happened and why, in one sentence; `hint` says what to do next."""

    exit_code = 1
    retryable = False
    cause_word = "Error"
    usual_hint = ""
    """What to do next, where the raiser knows nothing better."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint

    def __str__(self) -> str:
        return self.message


class UsageError(FarshoreError):
    """The command was called in a way that cannot be carried out."""

    exit_code = 2
    cause_word = "Usage"


class ConfigError(UsageError):
    """The configuration is wrong. `problems` lists all of them, one sentence each."""

    cause_word = "Config"

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class NotSafe(FarshoreError):
    """The two sides were read and differ."""

    exit_code = 4
    cause_word = "Different"


class Refused(FarshoreError):
    """A safety rule, named in the message, forbids this."""

    exit_code = 5
    cause_word = "Refused"


class StateError(FarshoreError):
    """The local state (a cache: a listing can rebuild it) cannot be read or written."""

    cause_word = "State"


class LabError(FarshoreError):
    """A local region could not be started, stopped or reached."""

    cause_word = "Lab"


class StoreError(FarshoreError):
    """A site's storage refused or failed a request.

    `status` is the HTTP status (0 when there was no answer), `code` the S3 error
    code ("" when there was none), `action` what was asked, such as
    "PutObject files/a.txt at west".
    """

    cause_word = "Store"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int = 0,
        code: str = "",
        action: str = "",
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.action = action
        self.retry_after = retry_after


class Unreachable(StoreError):
    """No connection could be made, or it broke before the request had any effect."""

    retryable = True
    cause_word = "Unreachable"
    usual_hint = (
        "Check the endpoint, and that the site is up and can be reached from here; then run the "
        "same command again."
    )


class ServerFault(StoreError):
    """The server answered 5xx. A write may or may not have happened: look first."""

    retryable = True
    cause_word = "ServerFault"
    usual_hint = "Look at the server's log; then run again: what is there is looked at first."


class Throttled(StoreError):
    """The server asked for fewer requests; nothing was done."""

    retryable = True
    cause_word = "Throttled"


class OutcomeUnknown(StoreError):
    """A write was sent and no answer came: it may have happened. Look, then decide."""

    exit_code = 6
    cause_word = "OutcomeUnknown"
    usual_hint = "Run the same command again: it looks first at what is there."


class Denied(StoreError):
    """The credentials are wrong or lack the right."""

    cause_word = "Denied"


class ClockSkew(Denied):
    """This machine's clock and the server's are too far apart for a signature."""

    cause_word = "ClockSkew"


class KeysEnded(Denied):
    """Temporary keys had ended, and nothing was done. Newer ones are at hand: try again."""

    retryable = True
    cause_word = "KeysEnded"


class Gone(StoreError):
    """The key, version or upload is not there (or is a delete marker)."""

    cause_word = "Gone"

    def __init__(self, message: str, *, is_marker: bool = False, **kw: object) -> None:
        super().__init__(message, **kw)  # type: ignore[arg-type]
        self.is_marker = is_marker


class BucketMissing(Gone):
    """The bucket does not exist."""

    cause_word = "BucketMissing"


class TargetMissing(BucketMissing):
    """The target's bucket does not exist: nothing of what was copied to it is there."""


class Precondition(StoreError):
    """An If-Match or If-None-Match did not hold: somebody else wrote."""

    cause_word = "Precondition"


class Corrupt(StoreError):
    """Bytes are not the bytes that were promised. Nothing was acknowledged."""

    cause_word = "Corrupt"
    usual_hint = (
        "Run the same command again; if it stays so, the server, or something between it and this "
        "machine, damages what passes: look at its log."
    )


class BadListing(Corrupt):
    """A listing is out of order, cut short, or provably incomplete."""

    cause_word = "BadListing"
    usual_hint = "Run `farshore probe SITE`: it shows what that site's listings lose or mix up."


class Unsupported(StoreError):
    """This server, or this object, cannot do it: counted, never retried."""

    cause_word = "Unsupported"


class BadRequest(StoreError):
    """Any other refusal."""

    cause_word = "BadRequest"
