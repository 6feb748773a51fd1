"""What all models of the API have in common: what is sent is known and readable, what is answered is read from plain values."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from app.refusal_words import OURS, in_words

#: Nobody mends more at a time. Without a bound a body of a megabyte, which needs no login, is answered with ten, and takes seconds.
MOST_TOLD = 50


class Input(BaseModel):
    """What is sent must be known: a misspelt parameter is an error, not ignored."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Say in the API's words that something else than an object was sent, which fields there are, and not without end."""
        if not isinstance(value, Mapping | cls):
            raise ValueError(cls._wanted())
        try:
            return handler(value)
        except ValidationError as error:
            is_long = error.error_count() > MOST_TOLD
            told = error.errors(include_url=False)[:MOST_TOLD]
            if not is_long and not any(_is_stranger(each) for each in told):
                raise
            raise ValidationError.from_exception_data(
                cls.__name__, [cls._detail(each) for each in told]
            ) from None

    @classmethod
    def _wanted(cls) -> str:
        needed = [name_of(cls, name) for name, f in cls.model_fields.items() if f.is_required()]
        shape = ", ".join(f'"{name}": …' for name in needed or _names(cls)[:2])
        rest = "" if len(needed) == len(cls.model_fields) else ", …"
        return f"must be an object: {{{shape}{rest}}}"

    @classmethod
    def _detail(cls, error: ErrorDetails) -> InitErrorDetails:
        """Return an error in our words, and that of an unknown field of this very model with what there is."""
        message = (
            unknown_field(str(error["loc"][0]), _names(cls))
            if _is_stranger(error)
            else in_words(error)
        )
        return ours(error, message)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_nul(cls, value: object) -> object:
        """PostgreSQL has no text with NUL in it."""
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and "\x00" in text for text in texts):
            raise ValueError("holds a NUL character")
        return value


def ours(error: ErrorDetails, message: str) -> InitErrorDetails:
    """Return an error at the same place that says this."""
    kind = PydanticCustomError(OURS, message)
    return InitErrorDetails(type=kind, loc=error["loc"], input=error["input"])


class Out(BaseModel):
    """Read from the plain values of the domain."""

    model_config = ConfigDict(from_attributes=True)


def name_of(model: type[BaseModel], field: str) -> str:
    """Return what a field is called in requests."""
    return model.model_fields[field].alias or field


def unknown_field(said: str, names: Sequence[str]) -> str:
    """Say that a field is not known, which are, and which of them was probably meant."""
    text = f"unknown field; allowed here: {', '.join(names)}"
    meant = nearest(said, names)
    return f"{text}. Did you mean {meant}?" if meant else text


def nearest(said: str, names: Sequence[str]) -> str | None:
    """Return the name that was probably meant, whatever its capitals and underscores; None for nothing like any."""
    plain = {_plain(name): name for name in names}
    found = get_close_matches(_plain(said), plain, n=1, cutoff=0.7)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _names(model: type[BaseModel]) -> list[str]:
    return [name_of(model, field) for field in model.model_fields]


def _is_stranger(error: ErrorDetails) -> bool:
    # Those of models further in have been told already, by their own.
    return error["type"] == "extra_forbidden" and len(error["loc"]) == 1
