-- Enrichment on the ledger: what is known of a lead, what was found, every provider that was asked, and what is remembered.

INSERT INTO chunk_kinds VALUES ('enrich', 'enrichment', false);

ALTER TABLE job_items ADD COLUMN lead jsonb;
COMMENT ON COLUMN job_items.lead IS '{"ref", "first_name", "last_name", "full_name", "company", "domain", "email", "linkedin_url"} of a lead that came through the API, each if known; NULL: an address, or the row of a list, whose cells say it.';

ALTER TABLE job_results ADD COLUMN data jsonb;
COMMENT ON COLUMN job_results.data IS 'Of a lead: {"fields": {name: {"value", "provider", "score", "found_at"}}, "providers": {name: what became of it}}.';
-- Every row there is satisfies the narrower rule of before, so none is looked at.
ALTER TABLE job_results DROP CONSTRAINT job_results_verdict_check;
ALTER TABLE job_results ADD CONSTRAINT job_results_verdict_check CHECK (verdict IN
    ('valid', 'invalid', 'catch_all', 'unknown', 'found', 'partial', 'not_found')) NOT VALID;

ALTER TABLE chunks ADD COLUMN waits_for text;
COMMENT ON COLUMN chunks.waits_for IS 'Why a ready chunk is put off to its run_at: retry, callback, or the limiter''s word (window, daily_quota, circuit_open, no_keys …). NULL: nothing in particular.';
CREATE INDEX chunks_waits_idx ON chunks (tenant_id, waits_for) WHERE status = 'ready' AND waits_for IS NOT NULL;

-- Every question to a provider about a lead, and what came of it. Written with the outcomes, under the same fence.
CREATE TABLE lookup_attempts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id     uuid NOT NULL,
    item_no    integer NOT NULL,
    tenant_id  uuid NOT NULL DEFAULT laneway_tenant(),
    provider   text NOT NULL,
    outcome    text NOT NULL CHECK (outcome IN ('found', 'miss', 'pending', 'refused', 'error', 'skipped')),
    code       text,
    message    text,
    is_cached  boolean NOT NULL DEFAULT false,
    ms         integer,
    credits    real,
    findings   jsonb,
    at         timestamptz NOT NULL,
    FOREIGN KEY (job_id, tenant_id) REFERENCES jobs (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX lookup_attempts_item_idx ON lookup_attempts (job_id, item_no, id);
COMMENT ON COLUMN lookup_attempts.ms IS 'What the call took; a call for several leads counts whole for each. NULL: none was made.';

-- What a provider said about a question, per client. Misses are kept too, for a shorter time.
CREATE TABLE lookup_cache (
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    provider    text NOT NULL,
    identity    text NOT NULL,
    findings    jsonb NOT NULL,
    found_at    timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, identity, provider)
);
CREATE INDEX lookup_cache_expires_idx ON lookup_cache (expires_at);

-- Leads whose look-up is over and whose e-mail is verified next, in the same job: not results yet.
CREATE TABLE lookup_finds (
    job_id     uuid NOT NULL,
    item_no    integer NOT NULL,
    tenant_id  uuid NOT NULL DEFAULT laneway_tenant(),
    email      text NOT NULL,
    data       jsonb NOT NULL,
    PRIMARY KEY (job_id, item_no),
    FOREIGN KEY (job_id, tenant_id) REFERENCES jobs (id, tenant_id) ON DELETE CASCADE
);

-- A find is progress, though it is no result yet: whoever gets one is no poison, and a job that finds is not stuck.
CREATE FUNCTION lookup_finds_progress() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE chunks SET attempts = 0, progress_at = clock_timestamp() WHERE id IN (
        SELECT c.id FROM chunks c JOIN found f ON f.job_id = c.job_id AND f.item_no BETWEEN c.first_item AND c.last_item
        WHERE c.kind = 'enrich' AND c.status = 'running');
    RETURN NULL;
END $$;
CREATE TRIGGER lookup_finds_progress AFTER INSERT ON lookup_finds REFERENCING NEW TABLE AS found
    FOR EACH STATEMENT EXECUTE FUNCTION lookup_finds_progress();
REVOKE ALL ON FUNCTION lookup_finds_progress() FROM PUBLIC;

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['lookup_attempts', 'lookup_cache', 'lookup_finds'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT laneway_tenant()))', t);
    END LOOP;
END $$;
GRANT SELECT, INSERT ON lookup_attempts, lookup_finds TO {app_role};
GRANT SELECT, INSERT, UPDATE ON lookup_cache TO {app_role};

ALTER TABLE tenants ADD COLUMN enrichment_chain text[] CHECK (cardinality(enrichment_chain) > 0);
COMMENT ON COLUMN tenants.enrichment_chain IS 'Providers in the order in which they are asked; NULL: as ENRICHMENT_CHAIN says.';

-- Add the leads of a new job of this transaction's tenant, numbered from 1; items are the owner's to write.
-- p_leads is [{"ref", "email", …}, …] in normal form.
CREATE FUNCTION add_leads(p_job uuid, p_leads json) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_kind text;
    n      integer;
    d      integer := 0;
BEGIN
    SELECT kind INTO v_kind FROM jobs WHERE id = p_job AND tenant_id = laneway_tenant() AND total_items = 0 FOR UPDATE;
    IF NOT FOUND THEN RETURN 0; END IF;
    INSERT INTO job_items (job_id, item_no, tenant_id, line_no, email, lead)
    SELECT p_job, l.n, laneway_tenant(), l.n, coalesce(l.lead ->> 'email', ''), l.lead::jsonb
    FROM json_array_elements(p_leads) WITH ORDINALITY AS l(lead, n);
    GET DIAGNOSTICS n = ROW_COUNT;
    -- An address that is there twice is verified, and paid for, once.
    IF v_kind = 'email_validation' THEN
        INSERT INTO job_duplicates (job_id, item_no, duplicate_of)
        SELECT p_job, l.item_no, l.first FROM (
            SELECT item_no, min(item_no) OVER (PARTITION BY email) AS first FROM job_items WHERE job_id = p_job) l
        WHERE l.item_no > l.first;
        GET DIAGNOSTICS d = ROW_COUNT;
    END IF;
    UPDATE jobs SET total_items = n, duplicate_rows = d WHERE id = p_job;
    RETURN n;
END $$;

-- Forget up to p_limit remembered answers whose time is over; answers how many. The rest of a look-up goes with its job.
CREATE FUNCTION forget_lookups(p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    n  bigint;
BEGIN
    DELETE FROM lookup_cache c USING (
        SELECT tenant_id, identity, provider FROM lookup_cache WHERE expires_at < clock_timestamp()
        ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED) old
    WHERE (c.tenant_id, c.identity, c.provider) = (old.tenant_id, old.identity, old.provider);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

REVOKE ALL ON FUNCTION add_leads(uuid, json), forget_lookups(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add_leads(uuid, json), forget_lookups(integer) TO {app_role};
