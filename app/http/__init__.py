"""The JSON API: parse, call, respond. Rules live below; errors become problem documents in one place."""
