-- As in 0005, and the chain of look-up providers and its order beside the other settings.
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
        fallback_after_seconds = v_after.fallback_after_seconds, enrichment_chain = v_after.enrichment_chain,
        enrichment_cheapest_first = v_after.enrichment_cheapest_first
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

-- When a delivery came to its end, whatever it was: what the figures below count by.
ALTER TABLE webhook_deliveries ADD COLUMN ended_at timestamptz;
COMMENT ON COLUMN webhook_deliveries.ended_at IS 'When it was delivered, given up or cancelled; NULL while it is open.';
CREATE FUNCTION webhook_delivery_turned() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    NEW.ended_at := CASE WHEN NEW.status IN ('delivered', 'failed', 'cancelled') THEN clock_timestamp() END;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION webhook_delivery_turned() FROM PUBLIC;
CREATE TRIGGER webhook_deliveries_turned BEFORE UPDATE OF status ON webhook_deliveries FOR EACH ROW
    WHEN (NEW.status <> OLD.status) EXECUTE FUNCTION webhook_delivery_turned();
CREATE INDEX webhook_deliveries_ended_idx ON webhook_deliveries (ended_at, status) WHERE ended_at IS NOT NULL;

-- How webhooks of all clients stand, as one row. What is open is read from its partial index, what ended from the last hour's
-- end of another; never the log.
CREATE FUNCTION webhook_figures() RETURNS TABLE (delivered bigint, failed bigint, cancelled bigint, pending bigint,
    retrying bigint, waiting bigint, oldest_seconds double precision, enabled bigint, failing bigint, disabled_by_person bigint,
    disabled_gone bigint, disabled_failing bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.delivered, e.failed, e.cancelled, o.pending + n.events, o.retrying, o.waiting,
        coalesce(extract(epoch FROM now() - least(o.oldest, n.oldest))::double precision, 0),
        p.enabled, p.failing, p.by_person, p.gone, p.by_failing
    FROM (
        SELECT count(*) FILTER (WHERE d.status = 'delivered') AS delivered, count(*) FILTER (WHERE d.status = 'failed') AS failed,
            count(*) FILTER (WHERE d.status = 'cancelled') AS cancelled
        FROM webhook_deliveries d WHERE d.ended_at > now() - interval '1 hour'
    ) e CROSS JOIN (
        SELECT count(*) FILTER (WHERE d.status = 'pending' AND d.attempts = 0) AS pending,
            count(*) FILTER (WHERE d.status = 'pending' AND d.attempts > 0) AS retrying,
            count(*) FILTER (WHERE d.status = 'waiting') AS waiting,
            -- What somebody has sent once more is as old as its event, and no sign of trouble.
            min(d.created_at) FILTER (WHERE NOT d.is_replay) AS oldest
        FROM webhook_deliveries d WHERE d.status IN ('pending', 'waiting')
    ) o CROSS JOIN (
        SELECT count(*) AS events, min(v.created_at) AS oldest FROM webhook_events v WHERE NOT v.is_spread
    ) n CROSS JOIN (
        SELECT count(*) FILTER (WHERE x.is_enabled) AS enabled,
            count(*) FILTER (WHERE x.is_enabled AND x.failing_since IS NOT NULL) AS failing,
            count(*) FILTER (WHERE NOT x.is_enabled AND x.disabled_reason = 'person') AS by_person,
            count(*) FILTER (WHERE NOT x.is_enabled AND x.disabled_reason = 'gone') AS gone,
            count(*) FILTER (WHERE NOT x.is_enabled AND x.disabled_reason = 'failing') AS by_failing
        FROM webhook_endpoints x WHERE x.deleted_at IS NULL
    ) p
$$;
REVOKE ALL ON FUNCTION webhook_figures() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION webhook_figures() TO {app_role};
