"""What all models of the API have in common: what is sent is known and readable, what is answered is read from plain values."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, field_validator, model_validator


class Input(BaseModel):
    """What is sent must be known: a misspelt parameter is an error, not ignored."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    @model_validator(mode="before")
    @classmethod
    def _want_object(cls, value: object) -> object:
        """Say in the API's words what is wanted where something else than an object was sent."""
        if isinstance(value, Mapping | cls):
            return value
        needed = [name for name, field in cls.model_fields.items() if field.is_required()]
        shape = ", ".join(f'"{name}": …' for name in needed or list(cls.model_fields)[:2])
        rest = "" if len(needed) == len(cls.model_fields) else ", …"
        raise ValueError(f"must be an object: {{{shape}{rest}}}")

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_nul(cls, value: object) -> object:
        """PostgreSQL has no text with NUL in it."""
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and "\x00" in text for text in texts):
            raise ValueError("holds a NUL character")
        return value


class Out(BaseModel):
    """Read from the plain values of the domain."""

    model_config = ConfigDict(from_attributes=True)
