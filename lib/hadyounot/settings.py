"""The base of every model of settings, and what is raised where settings are wrong."""

from pydantic import AfterValidator, BaseModel, ConfigDict


class ConfigError(ValueError):
    """A configuration file says something that cannot be; the message names file, field and fix."""


def _distinct(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError("names one twice; remove it")
    return values


Distinct = AfterValidator(_distinct)
"""Of a list: none is there twice."""


class Strict(BaseModel):
    """Unknown keys, infinities and later changes are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
