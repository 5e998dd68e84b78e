"""The settings of the stages and their parts, as frozen data.

The docstring of a field is its description everywhere: in `kaption settings`, in docs/settings.md
and in the schema of the chart's values. A name that ends in a unit (`_s`, `_bytes` ...) has it.
Nothing heavy is imported here, so that a light install can read settings. A stage's policy is
hashed into the provenance of what the stage made.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Policy(BaseModel):
    """Frozen settings of one part; unknown names are refused: a typo must not pass silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
