"""The fields that may come with an upload."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError

from app.errors import InvalidInput
from app.http.model_bases import Input
from app.http.multipart import Fields
from app.http.problems import field_errors
from app.jobs.webhook_url import check_webhook_url
from app.uploads.submit import UploadOrder

Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50)]
#: The page's token comes as a field where a form is sent without a script; it was looked at before.
_IGNORED = {"csrf_token"}
#: What file systems allow; the name is kept with the job and read with every list of jobs.
_FILENAME_CHARS = 255


def _split(value: object) -> object:
    """Tags come repeated, or in one field with commas."""
    texts = value if isinstance(value, list) else [value]
    return [part for text in texts for part in str(text).split(",") if part.strip()]


def _unique(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


def _check_webhook(url: str | None) -> str | None:
    if not url:
        return None
    try:
        return check_webhook_url(url)
    except InvalidInput as error:
        raise ValueError(error.message) from error


class UploadIn(Input):
    email_column: Annotated[str, Field(max_length=200)] | None = Field(
        default=None,
        description="The column's name, or its number from 1. Without it the column is found.",
    )
    priority: int = Field(default=3, ge=1, le=5, description="1 is the highest.")
    tags: Annotated[
        list[Tag], BeforeValidator(_split), AfterValidator(_unique), Field(max_length=20)
    ] = Field(default_factory=list)
    webhook_url: Annotated[str | None, AfterValidator(_check_webhook)] = None

    @classmethod
    def of(cls, fields: Fields) -> "UploadIn":
        """Read the fields of a form. Raises `InvalidInput`, with what is wrong field by field."""
        values: dict[str, Any] = {}
        for name in fields:
            given = fields.getlist(name)
            if name in _IGNORED or given == [""]:
                continue
            if name != "tags" and len(given) > 1:
                raise InvalidInput(f"{name} is given more than once.", field=name)
            values[name] = given if name == "tags" else given[0]
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            errors = field_errors(error)
            text = "; ".join(f"{e['field']}: {e['message']}" for e in errors)
            raise InvalidInput(text, errors=errors) from None

    def as_order(self, filename: str) -> UploadOrder:
        """Return what is wanted with a file of this name."""
        return UploadOrder(
            # Shown to people, never used as a path.
            filename="".join(c for c in filename[:_FILENAME_CHARS] if c.isprintable()).strip()
            or "list",
            email_column=self.email_column or None,
            priority=self.priority,
            tags=tuple(self.tags),
            webhook_url=self.webhook_url,
        )


def _body(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": ["file"], "properties": properties}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


_FILE = {"type": "string", "format": "binary"}
_COLUMN = {"type": "string", "description": "The column's name, or its number from 1."}
#: For the description of the API: these routes read their bodies themselves.
STREAMED_BODIES = {
    "/api/uploads": _body({"file": _FILE, **UploadIn.model_json_schema()["properties"]}),
    "/api/uploads/preview": _body({"file": _FILE, "email_column": _COLUMN}),
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 255},
    "description": "The same key with the same list makes one job.",
}
