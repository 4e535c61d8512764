"""A boto3 client that follows the switch while it lives, its presigned URLs included.

botocore's event `before-sign` comes before every attempt of every request, retries too, and
before a URL is presigned. There the request's host is set to that of the active site, before
the signature covers it. So a request that is retried after a flip goes to the new site.

Source of the hook: botocore, `RequestSigner.sign` and the events that it documents.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from farshore.application.endpoint import EndpointFile, named
from farshore.errors import ConfigError

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from botocore.session import Session

    from farshore.application.keys import Keys, SiteKeys


def boto3_client(
    path: str | os.PathLike[str] | None = None,
    *,
    keys: Mapping[str, Keys] | None = None,
    **options: Any,
) -> Any:
    """A boto3 S3 client that goes where the endpoint file says, from one request to the next.

    `path` as in `endpoint`. `keys`: the keys for each site by name, where the sites do not
    share one pair of keys; without it boto3's own search for credentials. `options` go to
    `boto3.client`, as they are; `config` is merged over path-style addressing and SigV4,
    which every S3-compatible store takes.
    """
    import boto3
    from botocore.config import Config

    if "endpoint_url" in options:
        raise ConfigError("endpoint_url is the switch's to decide.", hint="Leave it out.")
    file = EndpointFile(named(path))
    own = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    given = options.pop("config", None)
    aimed = _site_keys(file, keys) if keys else None
    session = boto3.Session(botocore_session=_session(aimed)) if aimed else boto3.Session()
    client = session.client(
        "s3",
        endpoint_url=file.now().endpoint,
        config=own if given is None else own.merge(given),
        **options,
    )
    follow(client, file, aim=aimed.aim if aimed else lambda _: None)
    return client


def follow(client: Any, file: EndpointFile, aim: Callable[[str], None] = lambda _: None) -> None:
    """Make a boto3 S3 client of yours follow the file. It must have been made with an
    endpoint_url of one of the sites. `aim` is told the site of each request before it is
    signed."""
    first = urlsplit(client.meta.endpoint_url).netloc

    def to_the_active_site(request: AWSRequest, **_: object) -> None:
        where = file.now()
        aim(where.site)
        request.url = moved(request.url, first, where.endpoint)

    client.meta.events.register("before-sign.s3", to_the_active_site)


def moved(url: str, first: str, endpoint: str) -> str:
    """The URL at another endpoint; a bucket in front of the host name stays there.

    `first`: the host (and port) that the client was made for.
    """
    parts, there = urlsplit(url), urlsplit(endpoint)
    bucket = parts.netloc.removesuffix(f".{first}") if parts.netloc.endswith(f".{first}") else ""
    host = f"{bucket}.{there.netloc}" if bucket else there.netloc
    return urlunsplit((there.scheme, host, parts.path, parts.query, parts.fragment))


def _site_keys(file: EndpointFile, keys: Mapping[str, Keys]) -> SiteKeys:
    from farshore.application.keys import SiteKeys

    return SiteKeys(file, keys)


def _session(keys: SiteKeys) -> Session:
    """A botocore session whose keys are asked for at every signature."""
    from botocore.session import Session

    session = Session()
    session.register_component("credential_provider", keys)
    return session
