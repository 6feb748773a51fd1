-- What {app_role} may still do outside of a tenant, made narrower; rows bound to their job's tenant; sessions that end.

-- Sessions that were signed out before their time. A row is of use until the session would have ended by itself.
CREATE TABLE ended_sessions (
    id     uuid PRIMARY KEY,
    until  timestamptz NOT NULL
);
CREATE INDEX ended_sessions_until_idx ON ended_sessions (until);
COMMENT ON TABLE ended_sessions IS 'Sessions that were signed out; looked up with the person at each request of a page.';
GRANT SELECT ON ended_sessions TO {app_role};

-- The role can end a session, not bring one back.
CREATE FUNCTION auth_end_session(p_session uuid, p_until timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM ended_sessions WHERE until < clock_timestamp();
    INSERT INTO ended_sessions (id, until) VALUES (p_session, p_until) ON CONFLICT (id) DO NOTHING;
$$;

-- A sign-in is noted, and a hash with outdated parameters replaced: only the hash that was checked, so that a password
-- changed meanwhile stays, and never an operator's, whose rights are more than the role's own.
DROP FUNCTION auth_touch(uuid, text);
CREATE FUNCTION auth_touch(p_id uuid, p_checked_hash text, p_new_hash text DEFAULT NULL) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE users SET last_login_at = clock_timestamp(),
        password_hash = CASE WHEN role <> 'operator' AND password_hash = p_checked_hash
                             THEN coalesce(p_new_hash, password_hash) ELSE password_hash END
    WHERE id = p_id
$$;

-- Any month is the owner's to make; the role makes those about to begin.
ALTER FUNCTION ensure_partitions(date, integer) RENAME TO make_partitions;
CREATE FUNCTION ensure_partitions(p_from date, p_months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF p_months IS NULL OR p_months NOT BETWEEN 1 AND 24
       OR p_from IS NULL OR p_from NOT BETWEEN current_date - 62 AND current_date + 62 THEN
        RAISE EXCEPTION 'partitions are made for 1 to 24 months from about now; the owner''s make_partitions makes any'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN make_partitions(p_from, p_months);
END $$;

-- A row's job is of the row's tenant. Where there was a reference to the job anyway, it now says so, at no cost.
ALTER TABLE jobs ADD CONSTRAINT jobs_id_tenant_key UNIQUE (id, tenant_id);
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['chunks', 'job_duplicates', 'job_row_errors'] LOOP
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', t, t || '_job_id_fkey');
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I FOREIGN KEY (job_id, tenant_id)
            REFERENCES jobs (id, tenant_id) ON DELETE CASCADE', t, t || '_job_fkey');
    END LOOP;
END $$;
-- Results have no reference, because months of them are dropped; the policy looks the job up: some 0.05 ms for 50 rows.
DROP POLICY tenant ON job_results;
CREATE POLICY tenant ON job_results USING (tenant_id = (SELECT laneway_tenant()))
    WITH CHECK (tenant_id = (SELECT laneway_tenant()) AND EXISTS (SELECT 1 FROM jobs j WHERE j.id = job_id));

REVOKE ALL ON FUNCTION auth_end_session(uuid, timestamptz), auth_touch(uuid, text, text), ensure_partitions(date, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth_end_session(uuid, timestamptz), auth_touch(uuid, text, text), ensure_partitions(date, integer)
    TO {app_role};
-- Called by the owner's functions and triggers only. ledger_roll_up and counts_add stay: the role's own functions call them,
-- under the tenant's policies.
REVOKE ALL ON FUNCTION make_partitions(date, integer), ledger_bury(bigint, text), line_up_suspects(), touch_updated_at(),
    worker_configs_changed(), api_keys_changed() FROM {app_role};
