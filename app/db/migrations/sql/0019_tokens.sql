-- Tokens of clients' programs: each acts for the person who made it, within its scopes. Only a hash of one is kept.

CREATE TABLE api_tokens (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id     uuid NOT NULL DEFAULT laneway_tenant() REFERENCES tenants ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name          text NOT NULL CHECK (name <> ''),
    hash          bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    hint          text NOT NULL CHECK (length(hint) = 4),
    scopes        text[] NOT NULL CHECK (cardinality(scopes) > 0
                      AND scopes <@ ARRAY['jobs:read', 'jobs:write', 'webhooks:read', 'webhooks:write']),
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at    timestamptz,
    last_used_at  timestamptz,
    revoked_at    timestamptz
);
CREATE INDEX api_tokens_tenant_idx ON api_tokens (tenant_id, created_at DESC);
COMMENT ON COLUMN api_tokens.hash IS 'SHA-256 of the token, which is 43 random characters: nothing to guess, so nothing to slow down.';
COMMENT ON COLUMN api_tokens.last_used_at IS 'To the minute.';

ALTER TABLE api_tokens ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_tokens USING (tenant_id = (SELECT laneway_tenant()));
GRANT SELECT (id, tenant_id, user_id, name, hint, scopes, created_at, expires_at, last_used_at, revoked_at) ON api_tokens TO {app_role};
GRANT INSERT (user_id, name, hash, hint, scopes, expires_at) ON api_tokens TO {app_role};
GRANT UPDATE (revoked_at) ON api_tokens TO {app_role};

-- A token's person and scopes, while both are good; no tenant is known yet when somebody comes with one.
CREATE FUNCTION auth_token(p_hash bytea) RETURNS TABLE (token_id uuid, user_id uuid, tenant_id uuid, scopes text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    t api_tokens;
BEGIN
    SELECT * INTO t FROM api_tokens WHERE hash = p_hash AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > clock_timestamp());
    -- A person who was moved to another client takes no token along.
    IF NOT FOUND OR NOT EXISTS (SELECT 1 FROM users u WHERE u.id = t.user_id AND u.tenant_id = t.tenant_id AND u.is_active) THEN
        RETURN;
    END IF;
    IF t.last_used_at IS NULL OR t.last_used_at < clock_timestamp() - interval '1 minute' THEN
        -- Many requests at once: the first notes it, the others need not wait.
        UPDATE api_tokens SET last_used_at = clock_timestamp() WHERE id IN (
            SELECT x.id FROM api_tokens x WHERE x.id = t.id FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN QUERY SELECT t.id, t.user_id, t.tenant_id, t.scopes;
END $$;
REVOKE ALL ON FUNCTION auth_token(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth_token(bytea) TO {app_role};
