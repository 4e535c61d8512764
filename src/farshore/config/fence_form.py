"""The form of `[sites.X.fence]`: how this site's storage is made to refuse clients' writes."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from farshore.config.fences import COMMAND_SECONDS_MAX, OBEYED_SECONDS_MAX, FenceWay
from farshore.config.fields import Duration, Form

_KEYS: dict[str, set[str]] = {
    "policy": {"spare", "obeyed_within"},
    "command": {"argv", "timeout", "obeyed_within"},
    "none": set(),
}
"""Way to the keys that it may have."""


class FenceForm(Form):
    """How clients' writes are refused at this site's storage."""

    by: Literal["policy", "command", "none"] = Field(
        default="policy",
        description='"policy": a Deny in every bucket\'s policy; "command": a program of yours, '
        "where the server's policies do not reach the application's keys (it might disable "
        'them); "none": this site cannot be fenced, and the verdict says so.',
    )
    spare: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = Field(
        default=None,
        description="policy: who may go on writing, the operator and the replicator at least: "
        "users' names (SeaweedFS, Ceph RGW) or ARNs of users and roles (AWS). Without it they "
        "are learnt from the server where it tells them (SeaweedFS, Ceph RGW).",
    )
    argv: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = Field(
        default=None,
        description='command: the program and its first words; "fence", "unfence" or "show" and '
        "the site's name are added. See docs/fence.md.",
    )
    timeout: Duration | None = Field(
        default=None,
        description=f"command: how long one call may take; {COMMAND_SECONDS_MAX:g} s without it.",
    )

    obeyed_within: Duration | None = Field(
        default=None,
        description="How long this site may need until it refuses writes everywhere. A fence that "
        f"does not bite by then is taken away again; {OBEYED_SECONDS_MAX:g} s without it.",
    )

    @model_validator(mode="after")
    def _keys_of_its_way(self) -> Self:
        may = ("spare", "argv", "timeout", "obeyed_within")
        given = {key for key in may if getattr(self, key) is not None}
        foreign = sorted(given - _KEYS[self.by])
        if foreign:
            raise ValueError(f'a fence by "{self.by}" does not take {" and ".join(foreign)}')
        if self.by == "command" and self.argv is None:
            raise ValueError('a fence by "command" needs argv')
        return self

    def way(self) -> FenceWay:
        """The frozen value."""
        return FenceWay(
            self.by,
            tuple(self.spare or ()),
            tuple(self.argv or ()),
            self.timeout or COMMAND_SECONDS_MAX,
            self.obeyed_within or OBEYED_SECONDS_MAX,
        )
