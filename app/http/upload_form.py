"""The fields that may come with an upload."""

import json
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic import Tag as PydanticTag

from app.enrichment.lookup import Kind
from app.enrichment.providers import check_chain
from app.errors import InvalidInput
from app.http.model_bases import Input
from app.http.multipart import Fields
from app.http.problems import field_errors
from app.refusal_words import OURS
from app.settings import get_settings
from app.uploads.submit import Purpose, UploadOrder
from app.verification.providers import check_provider as check_verifier
from app.webhooks.addresses import AddressRule

T = TypeVar("T")
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50)]
#: The page's token comes as a field where a form is sent without a script; it was looked at before.
_IGNORED = {"csrf_token"}
#: Fields that may come several times.
_LISTS = {"tags", "enrichment_types"}
LeadField = Literal[
    "email", "first_name", "last_name", "full_name", "company", "domain", "linkedin_url"
]


def _form_of(column: object) -> str | None:
    if isinstance(column, str):
        return "(name)"
    return "(number)" if isinstance(column, int) and not isinstance(column, bool) else None


ColumnRef = Annotated[
    Annotated[Annotated[str, Field(max_length=200)], PydanticTag("(name)")]
    | Annotated[Annotated[int, Field(ge=1, le=10_000)], PydanticTag("(number)")],
    Discriminator(
        _form_of,
        custom_error_type=OURS,
        custom_error_message="must be a column's name, or its number from 1",
    ),
]
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
        return AddressRule.from_settings(get_settings()).check(url, "webhook_url")
    except InvalidInput as error:
        raise ValueError(error.message) from error


def _read_columns(value: object) -> object:
    """A form's field holds JSON; a field of a lead without a column is not named."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(
                'write it as JSON: {"first_name": "First Name", "company": 3}'
            ) from None
    if not isinstance(value, dict):
        return value
    return {field: column for field, column in value.items() if column not in (None, "")}


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
    purpose: Purpose = Field(
        default="verify",
        description="`enrich`: find what is missing of the leads; `enrich_verify`: and verify the e-mails, in the same job.",
    )
    columns: Annotated[dict[LeadField, ColumnRef] | None, BeforeValidator(_read_columns)] = Field(
        default=None,
        description="Of a list of leads, as JSON: which column holds what, by its name or its number from 1: "
        '`{"first_name": "First Name", "company": 3}`. Without it they are found by their names.',
    )
    enrichment_types: Annotated[
        list[Kind], BeforeValidator(_split), AfterValidator(_unique), Field(max_length=5)
    ] = Field(default_factory=list, description="What is looked for; by default the e-mail.")
    min_score: int = Field(
        default=0, ge=0, le=100, description="An e-mail with a lower score does not end the search."
    )
    cheapest_first: bool | None = Field(
        default=None,
        description="Ask the chain in the order of what the look-up costs at each provider (after `provider`). "
        "Without it as the client is set up.",
    )
    provider: Annotated[str, Field(max_length=50)] | None = Field(
        default=None,
        description="Who verifies; of a list of leads, who is asked first. Without it as set up.",
    )

    @field_validator("columns", "enrichment_types", "min_score", "cheapest_first")
    @classmethod
    def _of_leads(cls, value: T, info: ValidationInfo) -> T:
        if info.data.get("purpose") == "verify":
            raise ValueError("it is of a list of leads: say purpose=enrich or enrich_verify")
        return value

    @field_validator("enrichment_types")
    @classmethod
    def _has_what_is_verified(cls, value: list[Kind], info: ValidationInfo) -> list[Kind]:
        if info.data.get("purpose") == "enrich_verify" and value and Kind.EMAIL not in value:
            raise ValueError("what is verified are e-mails: have email among them")
        return value

    @field_validator("provider")
    @classmethod
    def _is_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        try:
            if value and info.data.get("purpose") == "verify":
                check_verifier(value)
            elif value:
                check_chain([value])
        except InvalidInput as error:
            raise ValueError(error.message) from error
        return value

    @classmethod
    def of(cls, fields: Fields) -> "UploadIn":
        """Read the fields of a form. Raises `InvalidInput`, with what is wrong field by field."""
        values: dict[str, Any] = {}
        for name in fields:
            given = fields.getlist(name)
            if name in _IGNORED or given == [""]:
                continue
            if name not in _LISTS and len(given) > 1:
                raise InvalidInput(f"{name} is given more than once.", field=name)
            values[name] = given if name in _LISTS else given[0]
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
            purpose=self.purpose,
            columns=None
            if self.columns is None
            else {str(field): column for field, column in self.columns.items()},
            wanted=() if self.purpose == "verify" else tuple(self.enrichment_types or ("email",)),
            min_score=self.min_score,
            provider=self.provider or None,
            cheapest_first=self.cheapest_first,
        )


def _body(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": ["file"], "properties": properties}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


_FILE = {"type": "string", "format": "binary"}
_PURPOSE = {"type": "string", "enum": list(get_args(Purpose)), "default": "verify"}
_COLUMN = {"type": "string", "description": "The column's name, or its number from 1."}
#: For the description of the API: these routes read their bodies themselves.
STREAMED_BODIES = {
    "/api/uploads": _body({"file": _FILE, **UploadIn.model_json_schema()["properties"]}),
    "/api/uploads/preview": _body({"file": _FILE, "email_column": _COLUMN, "purpose": _PURPOSE}),
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 255},
    "description": "The same key with the same list makes one job.",
}
