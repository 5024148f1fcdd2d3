"""Source profiles: layouts of files that are declared."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from retail_api.domain.paging import Entity

ProfileName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$", examples=["shopify_orders"])]


class ProfileSummary(Entity):
    """A profile by which files are read."""

    name: str = Field(examples=["shopify_orders"])
    title: str
    source: str | None = Field(description="Address of the description it was made to.")
    own: bool = Field(description="Whether it is in the folder of the shop's own profiles; the others are shipped.")
