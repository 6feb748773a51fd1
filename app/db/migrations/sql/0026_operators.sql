-- As in 0005, and the chain of look-up providers beside the other settings.
CREATE OR REPLACE FUNCTION client_set(p_tenant uuid, p_settings jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_before   tenants;
    v_after    tenants;
    v_changes  jsonb;
BEGIN
    SELECT * INTO v_before FROM tenants WHERE id = p_tenant FOR UPDATE;
    IF NOT FOUND THEN RETURN NULL; END IF;
    v_after := jsonb_populate_record(v_before, p_settings - ARRAY['id', 'slug', 'created_at']);
    UPDATE tenants SET name = v_after.name, weight = v_after.weight, max_in_flight = v_after.max_in_flight,
        max_in_flight_per_job = v_after.max_in_flight_per_job, key_policy = v_after.key_policy,
        fallback_after_seconds = v_after.fallback_after_seconds, enrichment_chain = v_after.enrichment_chain
    WHERE id = p_tenant;
    SELECT coalesce(jsonb_object_agg(b.key, jsonb_build_array(b.value, a.value)), '{}') INTO v_changes
    FROM jsonb_each(to_jsonb(v_before)) b JOIN jsonb_each(to_jsonb(v_after)) a USING (key) WHERE a.value IS DISTINCT FROM b.value;
    IF v_changes <> '{}' THEN
        PERFORM audit('client.changed', p_tenant, v_changes);
    END IF;
    RETURN v_changes;
END $$;

-- The chains of clients that have one of their own: for operators, beside clients_overview.
CREATE FUNCTION client_chains(p_tenants uuid[]) RETURNS TABLE (tenant_id uuid, chain text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, t.enrichment_chain FROM tenants t WHERE t.id = ANY (p_tenants) AND t.enrichment_chain IS NOT NULL
$$;
REVOKE ALL ON FUNCTION client_chains(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION client_chains(uuid[]) TO {app_role};

-- Who made and who revoked a token is in the client's history, whichever way it was done.
CREATE FUNCTION api_token_noted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM audit(CASE TG_OP WHEN 'INSERT' THEN 'token.created' ELSE 'token.revoked' END, NEW.tenant_id,
        jsonb_build_object('token', NEW.id, 'name', NEW.name, 'hint', NEW.hint, 'scopes', to_jsonb(NEW.scopes),
            'person', (SELECT u.email FROM users u WHERE u.id = NEW.user_id)));
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION api_token_noted() FROM PUBLIC;
CREATE TRIGGER api_tokens_created AFTER INSERT ON api_tokens FOR EACH ROW EXECUTE FUNCTION api_token_noted();
CREATE TRIGGER api_tokens_revoked AFTER UPDATE OF revoked_at ON api_tokens FOR EACH ROW
    WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION api_token_noted();
