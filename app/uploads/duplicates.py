"""Rows of a list that repeat an earlier one, found by the database when all are there, so that only they cost anything."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection, text

_BY_EMAIL = text("""
    INSERT INTO job_duplicates (job_id, item_no, duplicate_of)
    SELECT i.job_id, i.item_no, f.first
    FROM (SELECT email, min(item_no) AS first FROM job_items WHERE job_id = :job GROUP BY email HAVING count(*) > 1) f
    JOIN job_items i ON i.job_id = :job AND i.email = f.email AND i.item_no > f.first
""")
#: What two rows about one lead have in common: the e-mail; without one the LinkedIn address; else the name at its company,
#: which the domain tells better than a name. Case, spaces, and how a web address is written don't matter.
_BY_IDENTITY = text(r"""
    INSERT INTO job_duplicates (job_id, item_no, duplicate_of)
    SELECT :job, item_no, first FROM (
        SELECT item_no, min(item_no) OVER (PARTITION BY identity) AS first FROM (
            SELECT item_no, md5(CASE WHEN email <> '' THEN 'email ' || email WHEN linkedin <> '' THEN 'linkedin ' || linkedin
                ELSE 'name ' || name || ' at ' || coalesce(nullif(domain, ''), 'company ' || company) END) AS identity
            FROM job_items i
            CROSS JOIN LATERAL (SELECT
                lower(coalesce(cells ->> CAST(:first_name AS integer), '')) AS first_name,
                lower(coalesce(cells ->> CAST(:last_name AS integer), '')) AS last_name,
                lower(coalesce(cells ->> CAST(:full_name AS integer), '')) AS full_name,
                lower(coalesce(cells ->> CAST(:company AS integer), '')) AS company_name,
                lower(btrim(coalesce(cells ->> CAST(:domain AS integer), ''))) AS site,
                lower(btrim(coalesce(cells ->> CAST(:linkedin_url AS integer), ''))) AS profile) c
            CROSS JOIN LATERAL (SELECT
                btrim(regexp_replace(normalize(CASE WHEN btrim(first_name || last_name) <> '' THEN first_name || ' ' || last_name
                    ELSE full_name END), '\s+', ' ', 'g')) AS name,
                btrim(regexp_replace(normalize(company_name), '\s+', ' ', 'g')) AS company,
                regexp_replace(regexp_replace(site, '^(https?://)?(www\.)?', ''), '[/?#:].*$', '') AS domain,
                rtrim(regexp_replace(regexp_replace(profile, '^(https?://)?(www\.)?', ''), '[?#].*$', ''), '/') AS linkedin) n
            WHERE i.job_id = :job) leads) rows
    WHERE item_no > first
""")
_FIELDS = ("first_name", "last_name", "full_name", "company", "domain", "linkedin_url")


def find_duplicates(
    connection: Connection, job_id: UUID, lead_columns: Mapping[str, int] | None
) -> int:
    """Note the job's duplicates; return how many. `lead_columns` of a list of leads; None: by the address alone."""
    if lead_columns is None:
        return connection.execute(_BY_EMAIL, {"job": job_id}).rowcount
    columns = {field: lead_columns.get(field) for field in _FIELDS}
    return connection.execute(_BY_IDENTITY, {"job": job_id, **columns}).rowcount
