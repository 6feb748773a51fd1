-- What people ask every two seconds, answered from an index.

-- When rows of a chunk were last recorded, and how many were before the last two stretches of ten seconds: so the rows
-- recorded in the last ten seconds are known from the few chunks that moved, whoever asks and however often. A worker's
-- write pays for a few assignments; no other table is touched, so there is nothing to contend for or to clean up.
ALTER TABLE chunks
    ADD COLUMN progress_at timestamptz,
    ADD COLUMN mark_at     timestamptz,
    ADD COLUMN mark_done   integer,
    ADD COLUMN prior_at    timestamptz,
    ADD COLUMN prior_done  integer;
COMMENT ON COLUMN chunks.progress_at IS 'When rows of the chunk were last recorded; kept by a trigger, as are mark_ and prior_.';
COMMENT ON COLUMN chunks.prior_done IS 'done_items at prior_at, 10 to 20 s before progress_at, or at the first record after a pause.';
CREATE INDEX chunks_progress_at_idx ON chunks (progress_at) WHERE progress_at IS NOT NULL;

CREATE FUNCTION chunks_note_progress() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
BEGIN
    IF NEW.done_items < OLD.done_items THEN
        -- Taken back for a retry: nothing was recorded.
        NEW.progress_at := NULL;
    ELSIF OLD.progress_at IS NULL OR OLD.progress_at < moment - interval '10 s' THEN
        NEW.progress_at := moment;
        NEW.mark_at := moment;
        NEW.mark_done := OLD.done_items;
        NEW.prior_at := moment;
        NEW.prior_done := OLD.done_items;
    ELSE
        NEW.progress_at := moment;
        IF OLD.mark_at < moment - interval '10 s' THEN
            NEW.prior_at := OLD.mark_at;
            NEW.prior_done := OLD.mark_done;
            NEW.mark_at := moment;
            NEW.mark_done := OLD.done_items;
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chunks_progress BEFORE UPDATE OF done_items ON chunks
    FOR EACH ROW WHEN (NEW.done_items IS DISTINCT FROM OLD.done_items) EXECUTE FUNCTION chunks_note_progress();

-- Who serves a queue, and how many clients have work in flight there. Counts only: no client learns of another.
CREATE FUNCTION lane_presence(p_queue text, p_presence_seconds double precision,
    OUT workers bigint, OUT slots bigint, OUT tenants bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT
        (SELECT count(*) FROM workers w WHERE p_queue = ANY (w.queues)
            AND w.last_seen > clock_timestamp() - make_interval(secs => p_presence_seconds)),
        (SELECT coalesce(sum(w.slots), 0) FROM workers w WHERE p_queue = ANY (w.queues)
            AND w.last_seen > clock_timestamp() - make_interval(secs => p_presence_seconds)),
        (SELECT count(DISTINCT c.tenant_id) FROM chunks c
            WHERE c.queue = p_queue AND c.status IN ('released', 'running'))
$$;

REVOKE ALL ON FUNCTION chunks_note_progress(), lane_presence(text, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_presence(text, double precision) TO {app_role};
