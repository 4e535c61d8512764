"""The form of farshore.toml: every key, its type, its default and what it is for.

The descriptions are the reference: `docs/configuration.md` and the JSON Schema are
made from them. Validators raise `ValueError` with a sentence that says what to write.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from farshore.config.fence_form import FenceForm
from farshore.config.fields import (
    CONTROL_BUCKET,
    Address,
    Bucket,
    BucketPattern,
    CredentialForm,
    Duration,
    Endpoint,
    Form,
    Listen,
    MarkerPolicyText,
    NatsName,
    NatsServer,
    PairName,
    QueueUrl,
    SecretForm,
    TokenForm,
)
from farshore.config.filer_form import FilerTlsForm
from farshore.config.pace_form import LimitsForm, SiteLimitsForm
from farshore.config.switch_form import SwitchForm
from farshore.config.values import SQS_WAIT_S


class CredentialsForm(Form):
    """The principals of a site."""

    operator: CredentialForm = Field(
        description="Makes buckets and sets versioning. Used by `init` and `apply` only."
    )
    replicator: CredentialForm = Field(
        description="Reads and writes versions on both sides: all the daily work."
    )
    app: CredentialForm | None = Field(
        None,
        description="What your application uses. `apply` proves that it could work on both "
        "sides; without it that proof is left out.",
    )


class SiteForm(Form):
    """One region."""

    endpoint: Endpoint = Field(description="The S3 endpoint's URL: scheme, host and port.")
    region: str = Field("us-east-1", min_length=1, description="The region that requests name.")
    location: str = Field(
        "",
        description="The LocationConstraint of buckets that `apply` makes; AWS wants the "
        "region's name here, unless that is us-east-1.",
    )
    filer: Endpoint | None = Field(
        None,
        description="The URL of a SeaweedFS filer of this site, for complete listings.",
    )
    filer_grpc: Address | None = Field(
        None,
        description="host:port of that filer's gRPC (its HTTP port + 10000 where nothing else was "
        "set), to learn of changes as they happen. In the clear and without a login, unless there "
        "is `filer_tls`. Needs the extra `seaweedfs`.",
    )
    filer_tls: FilerTlsForm | None = Field(
        None,
        description="TLS to `filer_grpc`, and to `filer` where its URL is https: both sides are "
        "verified, by these files alone. A SeaweedFS whose security.toml has [grpc] and "
        "[grpc.filer], or [https.filer], takes nothing else.",
    )
    ca_file: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="Certificates (PEM) to trust for this endpoint, beside the file."
    )
    control_bucket: Bucket | None = Field(
        None,
        description="This site's control bucket, where it cannot have the pair's name (bucket "
        "names are global at some vendors).",
    )
    credentials: CredentialsForm = Field(description="Where each principal's keys come from.")
    limits: SiteLimitsForm | None = Field(
        None, description="This site's own rates, in place of those in [limits]."
    )
    fence: FenceForm = Field(
        default_factory=FenceForm,
        description="How clients' writes are refused at this site's storage.",
    )

    @model_validator(mode="after")
    def _nothing_without_its_address(self) -> Self:
        sealed = self.filer_grpc is not None or (self.filer or "").startswith("https:")
        if self.filer_tls is not None and not sealed:
            raise ValueError(
                "filer_tls is for filer_grpc, or a filer with https: write one of them, or leave "
                "the table out"
            )
        return self


class BucketForm(Form):
    """One bucket, or many by a pattern."""

    source: BucketPattern = Field(
        description="A bucket's name on the source, or a pattern with one *."
    )
    target: BucketPattern | None = Field(
        None,
        description="The name on the target; with a pattern, its * stands for the same text. "
        "Without it: the same name.",
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if self.target is not None and ("*" in self.source) != ("*" in self.target):
            raise ValueError("a pattern needs one * on both sides, a name on neither")
        return self


class RuleForm(Form):
    """What is replicated, and how. Without any rule: everything, with delete markers."""

    prefix: str = Field("", description="Keys that begin with this.")
    tags: dict[str, str] = Field(default={}, description="Versions that carry all these tags.")
    delete_markers: MarkerPolicyText = Field(
        "replicate", description='"replicate", "never", or "after 7d": held back for that long.'
    )
    priority: int = Field(
        0,
        description="Where two rules match one version, the higher wins; then the longer prefix, "
        "then the one written first.",
    )
    exclude: bool = Field(False, description="What matches is not replicated, and counted.")


class PairForm(Form):
    """Two sites and what they share."""

    name: PairName | None = Field(
        None,
        description="What the pair is called in leases, status, proofs and metrics. Two pairs of "
        'the same sites need two names. Without it: "SOURCE-TARGET".',
    )
    source: str = Field(description="The site that is written to.")
    target: str = Field(description="The site that receives every version.")
    control_bucket: Bucket = Field(
        CONTROL_BUCKET,
        description="The bucket on both sites that holds roles, leases and capabilities.",
    )
    buckets: list[BucketForm] = Field(min_length=1, description="The buckets that are replicated.")
    rules: list[RuleForm] = Field(default=[], description="What is replicated, and how.")


_FEED_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "webhook": ({"token"}, set()),
    "sqs": ({"queue_url", "region", "credentials"}, {"ca_file", "wait"}),
    "nats": ({"servers", "stream", "consumer"}, {"token", "user", "password", "ca_file"}),
    "filer": (set(), set()),
}
"""Kind of feed to the keys that it needs, and those that it may have."""


_NATS_LOGINS: list[set[str]] = [set(), {"token"}, {"user", "password"}]


class FeedForm(Form):
    """One way to learn of changes at once. Without any, the scan finds them, later."""

    kind: Literal["webhook", "sqs", "nats", "filer"] = Field(
        description='"webhook" (MinIO, Ceph RGW or SeaweedFS call us), "sqs" (AWS S3 to a queue, '
        'directly or by SNS or EventBridge), "nats" (MinIO to a JetStream stream) or "filer" '
        "(SeaweedFS; there by itself where the source has `filer_grpc`)."
    )
    token: TokenForm | None = Field(
        None,
        description="webhook: what callers must send as bearer token; nats: what the server "
        "wants, by `env`.",
    )
    queue_url: QueueUrl | None = Field(
        None,
        description="sqs: the URL of the queue, one for each pair: a message goes to one reader.",
    )
    region: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="sqs: the region that requests name."
    )
    credentials: CredentialForm | None = Field(
        None,
        description="sqs: the keys of one who may do sqs:ReceiveMessage, sqs:DeleteMessage and "
        "sqs:ChangeMessageVisibility on the queue.",
    )
    servers: Annotated[list[NatsServer], Field(min_length=1)] | None = Field(
        None, description='nats: URLs of the servers, such as "nats://10.0.0.1:4222".'
    )
    stream: NatsName | None = Field(
        None, description="nats: the stream that keeps the notifications. It must exist."
    )
    consumer: NatsName | None = Field(
        None,
        description="nats: the durable pull consumer's name, one for each pair. It is made when it "
        "is not there.",
    )
    user: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="nats: whom to log in as, with `password`, where the server wants that."
    )
    password: SecretForm | None = Field(None, description="nats: the password of `user`.")
    ca_file: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="sqs, nats: certificates (PEM) to trust, beside the file."
    )
    wait: Annotated[int, Field(ge=1, le=SQS_WAIT_S)] | None = Field(
        None,
        description="sqs: seconds that one request waits for messages, 1 to 20; 20 where nothing "
        "is said. A message ends the wait; a shorter one costs more requests.",
    )

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> Self:
        needed, allowed = _FEED_KEYS[self.kind]
        given = {k for k in type(self).model_fields if getattr(self, k) is not None} - {"kind"}
        missing, foreign = sorted(needed - given), sorted(given - needed - allowed)
        wrong = [f"needs {' and '.join(missing)}"] if missing else []
        wrong += [f"does not take {' and '.join(foreign)}"] if foreign else []
        if self.kind == "nats" and given & {"token", "user", "password"} not in _NATS_LOGINS:
            wrong.append("takes a token, or user and password, or none of them")
        if self.kind == "nats" and self.token is not None and self.token.env is None:
            wrong.append("takes its token by env alone")
        if wrong:
            raise ValueError(f'a feed of kind "{self.kind}" {"; it ".join(wrong)}')
        return self


class ObjectivesForm(Form):
    """What the pair must hold to be called SAFE, and what the alerts are about."""

    rpo: Duration = Field(
        default=60.0,
        description="At most this much of the latest changes may be lost with the source: seconds, "
        'or "5m".',
    )
    verify_max_age: Duration = Field(
        default=7 * 86400.0,
        description='How old the last `farshore verify` of everything may be: seconds, or "7d".',
    )
    scan_max_age: Duration = Field(
        default=86400.0, description='How old the last complete scan may be: seconds, or "1d".'
    )
    doctor_max_age: Duration = Field(
        default=7 * 86400.0,
        description='How old the last `farshore doctor` may be: seconds, or "7d".',
    )
    drill_max_age: Duration | None = Field(
        default=None,
        description='How old the last drill that passed may be: seconds, or "90d", which holds '
        "where nothing is said. Once it is said, a pair without any drill is AT RISK.",
    )


class NotifyForm(Form):
    """Who is told of trouble, and in which voice."""

    url: SecretForm = Field(
        description="Where messages go: the variable holds an Apprise URL, such as mailto://…, "
        "slack://… or json://…"
    )
    voice: Literal["gentle", "loud"] = Field(
        "loud",
        description='"loud": what cannot wait, to a pager; "gentle": what can, to a channel or '
        "tickets.",
    )


class StateForm(Form):
    """The local cache. It can be deleted: a listing rebuilds it."""

    dir: str = Field(default=".farshore", min_length=1, description="A folder, beside the file.")


class DaemonForm(Form):
    """What `farshore run` does beside copying."""

    listen: Listen = Field(
        default="127.0.0.1:9470",
        description="Where metrics, health and the API are served, and webhooks are received. "
        "Port 0 takes a free one.",
    )
    token: TokenForm | None = Field(
        default=None,
        description="What callers of the API must send as bearer token. Without it one is made "
        "and kept in the state folder.",
    )
    scan_every: Duration = Field(
        default=300.0, description='Pause between two reconciling scans, seconds or "5m".'
    )
    sweep_every: Duration = Field(
        default=86400.0,
        description="How often tags, retention and legal holds of every version are compared, and "
        'mended on the target: seconds, or "1d". A pass is spread over that time.',
    )
    sweep_versions_per_s: float = Field(
        default=50.0,
        gt=0,
        description="Versions that a sweep compares per second at most: one HEAD on each side for "
        "every version, and where it has tags, one more request on each side.",
    )
    deletes_count: int = Field(
        default=100,
        ge=0,
        description="Visible objects that delete markers may hide within an hour before the "
        "delete guard holds the rest.",
    )
    deletes_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="The same as a share (0 to 1) of the target's keys; the larger counts.",
    )


class FileForm(Form):
    """farshore.toml."""

    sites: dict[str, SiteForm] = Field(description="The regions, by name: a-z, 0-9 and dashes.")
    pair: PairForm = Field(description="Which site is copied to which, and what.")
    feeds: list[FeedForm] = Field(default=[], description="How changes are learnt at once.")
    limits: LimitsForm = Field(default_factory=LimitsForm, description="How much farshore may use.")
    daemon: DaemonForm = Field(
        default_factory=DaemonForm, description="What `farshore run` does beside copying."
    )
    objectives: ObjectivesForm = Field(
        default_factory=ObjectivesForm, description="What the pair must hold to be SAFE."
    )
    notify: list[NotifyForm] = Field(default=[], description="Who is told of trouble.")
    switch: SwitchForm = Field(
        default_factory=SwitchForm, description="What decides which site clients go to."
    )
    state: StateForm = Field(default_factory=StateForm, description="Where the local cache is.")


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of farshore.toml, for editors."""
    document = FileForm.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **document,
        "title": "farshore.toml",
    }
