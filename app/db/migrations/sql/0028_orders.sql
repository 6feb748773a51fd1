-- As `client_chains` (0026), with the order in which a client's chain is asked beside the chain: a client that has set either is told
-- of. Beside the one of before, which processes of the version before still call.
CREATE FUNCTION client_orders(p_tenants uuid[]) RETURNS TABLE (tenant_id uuid, chain text[], cheapest_first boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, t.enrichment_chain, t.enrichment_cheapest_first FROM tenants t
    WHERE t.id = ANY (p_tenants) AND (t.enrichment_chain IS NOT NULL OR t.enrichment_cheapest_first)
$$;
REVOKE ALL ON FUNCTION client_orders(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION client_orders(uuid[]) TO {app_role};
