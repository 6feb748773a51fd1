"""What the job API takes: the payload of each type, in the spelling of its clients (camelCase, and no other).

Shapes: a lead is named by the caller's own id (`leadId`), what is known of it stands in `inputData`. What is not known
here is refused, so that a misspelt field is not silently ignored.
"""

from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic import Tag as PydanticTag
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from app.enrichment.submit import MOST_LEADS
from app.http.model_bases import MOST_TOLD, Input, ours
from app.http.moments import Moment
from app.refusal_words import in_words

Tag = Annotated[str, StringConstraints(min_length=1, max_length=50, strip_whitespace=True)]
LeadId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Known = Annotated[str, StringConstraints(max_length=500)]
Type = Literal["email", "company", "social", "phone", "person"]
Types = Annotated[list[Type], Field(min_length=1, max_length=5)]
ProviderId = Annotated[str, StringConstraints(min_length=1, max_length=50)]
#: Leads that are read at once.
_LEADS_READ = 5
#: What is looked for where the caller does not say.
USUAL_TYPES: dict[str, list[Type]] = {
    "single_lead_enrichment": ["email", "company", "social"],
    "batch_lead_enrichment": ["email", "company", "social"],
    "company_data_update": ["company"],
    "social_profile_discovery": ["social"],
}


class CamelInput(Input):
    """Fields are spelt as `webhookUrl`, and in no other way: two spellings of one field could say two things."""

    model_config = ConfigDict(alias_generator=to_camel)


class LeadFieldsIn(CamelInput):
    """What is known of a lead; the more, the surer it is found."""

    first_name: Known = ""
    last_name: Known = ""
    full_name: Known = ""
    company: Known = ""
    domain: Known = ""
    email: Known = ""
    linkedin_url: Known = ""


class LookupPayloadIn(CamelInput):
    provider_id: ProviderId | None = Field(
        default=None, description="Asked first; then the client's chain. None: the chain."
    )
    enrichment_types: Types | None = None
    min_score: int = Field(
        default=0, ge=0, le=100, description="An e-mail with a lower score does not end the search."
    )
    verify: bool = Field(default=False, description="Verify the e-mails found, in the same job.")
    cheapest_first: bool | None = Field(
        default=None,
        description="Ask the chain in the order of what the look-up costs at each provider (after `providerId`). "
        "None: as the client is set up.",
    )


class OneLeadIn(LookupPayloadIn):
    lead_id: LeadId
    input_data: LeadFieldsIn


class ManyLeadsIn(LookupPayloadIn):
    lead_ids: Annotated[list[LeadId], Field(min_length=1, max_length=MOST_LEADS)]
    input_data: dict[LeadId, LeadFieldsIn] = Field(default_factory=dict, max_length=MOST_LEADS)

    @field_validator("input_data", mode="wrap")
    @classmethod
    def _few_at_a_time(cls, value: object, handler: ValidatorFunctionWrapHandler) -> Any:
        """Read some leads at a time, until there is more to tell than is told: to word what is wrong takes its time."""
        if not isinstance(value, dict):
            return handler(value)
        if len(value) > MOST_LEADS:
            raise ValueError(f"has more than {MOST_LEADS} leads")
        leads, read, wrong = iter(value.items()), dict[str, LeadFieldsIn](), list[ErrorDetails]()
        while len(wrong) <= MOST_TOLD and (some := dict(islice(leads, _LEADS_READ))):
            try:
                read |= handler(some)
            except ValidationError as error:
                wrong += error.errors(include_url=False)
        if wrong:
            told = [ours(each, in_words(each)) for each in wrong]
            raise ValidationError.from_exception_data(cls.__name__, told)
        return read

    @model_validator(mode="after")
    def _names_each_once(self) -> "ManyLeadsIn":
        if len(set(self.lead_ids)) < len(self.lead_ids):
            raise ValueError("leadIds names a lead twice")
        if strangers := set(self.input_data) - set(self.lead_ids):
            raise ValueError(f"inputData has {min(strangers)!r}, which leadIds does not name")
        return self


class EmailsIn(CamelInput):
    emails: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=320)]],
        Field(min_length=1, max_length=MOST_LEADS),
    ]
    provider_id: ProviderId | None = Field(
        default=None, description="Who verifies. None: the installation's usual provider."
    )


class _JobIn(CamelInput):
    priority: int = Field(default=3, ge=1, le=5, description="1 is the highest.")
    max_retries: int = Field(default=3, ge=0, le=20, description="After each row's first attempt.")
    webhook_url: str | None = None
    tags: Annotated[list[Tag], Field(max_length=20)] = Field(default_factory=list)
    scheduled_for: Moment | None = Field(default=None, description="Not before this moment.")
    title: Annotated[str, StringConstraints(max_length=200)] = ""


class SingleJobIn(_JobIn):
    type: Literal["single_lead_enrichment"]
    payload: OneLeadIn


class BatchJobIn(_JobIn):
    type: Literal["batch_lead_enrichment"]
    payload: ManyLeadsIn


def _how_many(said: Any) -> str:
    many = "leadIds" in said if isinstance(said, dict) else isinstance(said, ManyLeadsIn)
    return "(many)" if many else "(one)"


class UpdateJobIn(_JobIn):
    type: Literal["company_data_update", "social_profile_discovery"]
    payload: Annotated[
        Annotated[OneLeadIn, PydanticTag("(one)")] | Annotated[ManyLeadsIn, PydanticTag("(many)")],
        Discriminator(_how_many),
    ]


class ValidationJobIn(_JobIn):
    type: Literal["email_validation"]
    payload: EmailsIn


def _type_of(said: Any) -> str:
    found = said.get("type") if isinstance(said, dict) else getattr(said, "type", None)
    return _FORMS.get(found, "none") if isinstance(found, str) else "none"


_FORMS = {
    "single_lead_enrichment": "(single)",
    "batch_lead_enrichment": "(batch)",
    "company_data_update": "(update)",
    "social_profile_discovery": "(update)",
    "email_validation": "(validation)",
}


class JobIn(
    RootModel[
        Annotated[
            Annotated[SingleJobIn, PydanticTag("(single)")]
            | Annotated[BatchJobIn, PydanticTag("(batch)")]
            | Annotated[UpdateJobIn, PydanticTag("(update)")]
            | Annotated[ValidationJobIn, PydanticTag("(validation)")],
            Discriminator(
                _type_of,
                custom_error_type="type",
                custom_error_message=f"The field `type` says what kind of job it is, one of: {', '.join(_FORMS)}.",
            ),
        ]
    ]
):
    """A job, told by its `type`."""

    def digest_source(self) -> dict[str, Any]:
        """Return what makes two requests the same."""
        said = self.root.model_dump(mode="json")
        # What is as it was before there was a choice is not said: the same request has the same hash as ever.
        if said["payload"].get("cheapest_first") is None:
            said["payload"].pop("cheapest_first", None)
        return said
