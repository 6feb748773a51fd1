"""What people call jobs: by their title, else by what they do."""

#: Type of a job -> what people call it.
KINDS = {
    "email_validation": "Verification",
    "single_lead_enrichment": "One lead",
    "batch_lead_enrichment": "Leads",
    "company_data_update": "Companies",
    "social_profile_discovery": "Profiles",
    "bulk": "Bulk act",
}


def job_name(title: str | None, kind: str) -> str:
    """Return the name under which a job is shown; jobs of programs often have no title."""
    return title or f"{KINDS.get(kind, kind)}, untitled"
