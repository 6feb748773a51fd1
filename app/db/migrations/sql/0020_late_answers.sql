-- Answers that come later: what is waited for, and every call of a vendor that came.

-- One lead's question that a provider has taken on, and will answer in a call of its own. `request` names our call, which
-- may have asked about several leads; `name` is what the vendor calls the row.
CREATE TABLE lookup_waits (
    request      uuid NOT NULL,
    job_id       uuid NOT NULL,
    item_no      integer NOT NULL,
    tenant_id    uuid NOT NULL DEFAULT laneway_tenant(),
    provider     text NOT NULL,
    name         text NOT NULL,
    identity     text NOT NULL,
    lookup       jsonb NOT NULL,
    findings     jsonb NOT NULL,
    state        text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'answered', 'late')),
    asked_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    deadline     timestamptz NOT NULL,
    answered_at  timestamptz,
    over_at      timestamptz,
    PRIMARY KEY (request, job_id, item_no),
    FOREIGN KEY (job_id, tenant_id) REFERENCES jobs (id, tenant_id) ON DELETE CASCADE
);
CREATE INDEX lookup_waits_item_idx ON lookup_waits (job_id, item_no);
CREATE INDEX lookup_waits_question_idx ON lookup_waits (tenant_id, identity, provider) WHERE state = 'waiting';
CREATE INDEX lookup_waits_asked_idx ON lookup_waits (asked_at);
COMMENT ON COLUMN lookup_waits.lookup IS '{"person": {field: value}, "wanted": [kinds still wanted], "asked": [kinds of the question]}; `identity` is the question''s.';
COMMENT ON COLUMN lookup_waits.findings IS 'What the provider has said about the question so far, as in lookup_attempts.';
COMMENT ON COLUMN lookup_waits.state IS 'waiting; answered: by a later call, in time or not; late: the deadline went by, or what came made no sense, and the lead went on without it.';
COMMENT ON COLUMN lookup_waits.over_at IS 'When the lead was concluded. What comes after that changes no result.';

-- Every call from outside that was proved to be a vendor's, or of whoever holds a secret of the installation.
CREATE TABLE lookup_events (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    uuid REFERENCES tenants ON DELETE CASCADE,
    provider     text,
    request      uuid,
    sender_key   text NOT NULL,
    event        text,
    state        text NOT NULL CHECK (state IN ('matched', 'late', 'unknown', 'duplicate')),
    job_id       uuid,
    item_nos     integer[] NOT NULL DEFAULT '{}',
    body         bytea,
    received_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (job_id, tenant_id) REFERENCES jobs (id, tenant_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX lookup_events_once_idx ON lookup_events (tenant_id, provider, sender_key) NULLS NOT DISTINCT
    WHERE state <> 'duplicate';
CREATE INDEX lookup_events_tenant_idx ON lookup_events (tenant_id, id DESC);
CREATE INDEX lookup_events_request_idx ON lookup_events (request) WHERE request IS NOT NULL;
CREATE INDEX lookup_events_job_idx ON lookup_events (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX lookup_events_received_idx ON lookup_events (received_at);
COMMENT ON COLUMN lookup_events.tenant_id IS 'NULL: whose it is could not be told; only operators see it.';
COMMENT ON COLUMN lookup_events.provider IS 'NULL: an event of the generic form, about a job.';
COMMENT ON COLUMN lookup_events.sender_key IS 'What makes a repetition known: the sender''s own id, else a hash of what was sent.';
COMMENT ON COLUMN lookup_events.body IS 'As it came. NULL for a duplicate.';

ALTER TABLE lookup_attempts ADD COLUMN is_late boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN lookup_attempts.is_late IS 'What a later call of the provider said; the question is an attempt of its own, with outcome pending.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['lookup_waits', 'lookup_events'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT laneway_tenant()))', t);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON lookup_waits, lookup_events TO {app_role};

-- Whose a request is: for a call that an installation's own secret has signed, which names no tenant.
CREATE FUNCTION lookup_request_tenant(p_request uuid) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT tenant_id FROM lookup_waits WHERE request = p_request LIMIT 1
$$;
CREATE FUNCTION lookup_job_tenant(p_job uuid) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT tenant_id FROM jobs WHERE id = p_job
$$;

-- Keep a proved call of which nobody can tell whose it is. Answers its state: unknown or duplicate.
CREATE FUNCTION keep_stray_event(p_provider text, p_sender_key text, p_event text, p_body bytea) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO lookup_events (provider, sender_key, event, state, body) VALUES (p_provider, p_sender_key, p_event, 'unknown', p_body)
    ON CONFLICT (tenant_id, provider, sender_key) WHERE state <> 'duplicate' DO NOTHING;
    IF FOUND THEN RETURN 'unknown'; END IF;
    INSERT INTO lookup_events (provider, sender_key, event, state) VALUES (p_provider, p_sender_key, p_event, 'duplicate');
    RETURN 'duplicate';
END $$;

-- For operators: the calls of which nobody can tell whose they are, the newest first, without what they say.
CREATE FUNCTION stray_events(p_before bigint, p_limit integer)
RETURNS TABLE (id bigint, provider text, event text, state text, job_id uuid, item_nos integer[], received_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.id, e.provider, e.event, e.state, e.job_id, e.item_nos, e.received_at FROM lookup_events e
    WHERE e.tenant_id IS NULL AND (p_before IS NULL OR e.id < p_before) ORDER BY e.id DESC LIMIT p_limit
$$;

-- Remove calls and waits that are older than p_days; answers how many.
CREATE FUNCTION forget_late_answers(p_days double precision) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    n  bigint;
    m  bigint;
BEGIN
    IF p_days IS NULL OR p_days < 1 THEN
        RAISE EXCEPTION 'a call is kept for a day at least' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM lookup_events WHERE received_at < clock_timestamp() - make_interval(secs => 86400 * p_days);
    GET DIAGNOSTICS n = ROW_COUNT;
    -- A wait whose deadline is still to come is needed, however long the installation waits.
    DELETE FROM lookup_waits WHERE asked_at < clock_timestamp() - make_interval(secs => 86400 * p_days)
        AND deadline < clock_timestamp();
    GET DIAGNOSTICS m = ROW_COUNT;
    RETURN n + m;
END $$;

REVOKE ALL ON FUNCTION lookup_request_tenant(uuid), lookup_job_tenant(uuid), keep_stray_event(text, text, text, bytea),
    stray_events(bigint, integer), forget_late_answers(double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lookup_request_tenant(uuid), lookup_job_tenant(uuid), keep_stray_event(text, text, text, bytea),
    stray_events(bigint, integer), forget_late_answers(double precision) TO {app_role};
