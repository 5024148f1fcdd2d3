"""The base class of the models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A model that refuses fields it does not know, so that a misspelt or outdated record is found when it is read."""

    model_config = ConfigDict(extra="forbid")
