"""The keys of clients and of the platform, for operators: add, change, remove, test, reset. A secret comes in only."""

from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, make_response

from app.http import client_acts, key_acts
from app.http.auth import for_operators
from app.http.models_keys import KeyChangeIn, KeyRemovedOut, KeysAddedOut, KeysIn, KeyTestOut
from app.http.models_operators import KeyChangedOut, KeyOut

keys = APIBlueprint("keys", __name__, url_prefix="/api", tag="Clients")


@keys.post("/clients/<slug>/keys")
@for_operators
@keys.input(KeysIn)
@keys.output(KeysAddedOut, status_code=201)
@keys.doc(security="bearer", responses=[403, 404, 409])
def add_keys(slug: str, json_data: KeysIn) -> KeysAddedOut:
    """Add keys of a client, all of them or none. Workers use them within seconds."""
    key_ids, warnings = client_acts.add_keys(slug, json_data.keys)
    return KeysAddedOut(key_ids=key_ids, warnings=warnings)


@keys.patch("/keys/<uuid:key_id>")
@for_operators
@keys.input(KeyChangeIn)
@keys.output(KeyChangedOut)
@keys.doc(security="bearer", responses=[403, 404, 409])
def change_key(key_id: UUID, json_data: KeyChangeIn) -> KeyChangedOut:
    """Change a key's limits or notes, or switch it off or on."""
    key, warnings = key_acts.change_key(key_id, json_data)
    return KeyChangedOut(**KeyOut.model_validate(key).model_dump(), warnings=warnings)


@keys.delete("/keys/<uuid:key_id>")
@for_operators
@keys.output(KeyRemovedOut)
@keys.doc(
    security="bearer",
    responses={
        204: "Removed; there is nothing to say.",
        403: "Only operators.",
        404: "There is no such key.",
    },
)
def remove_key(key_id: UUID) -> Response:
    """Remove a key for good. 200 with `warnings` when its owner has no other that can be used, else 204."""
    warnings = key_acts.remove_key(key_id)
    if not warnings:
        return Response(status=204)
    return make_response(KeyRemovedOut(warnings=warnings).model_dump(mode="json"), 200)


@keys.post("/keys/<uuid:key_id>/test")
@for_operators
@keys.output(KeyTestOut)
@keys.doc(security="bearer", responses=[403, 404, 409, 429, 503])
def test_key(key_id: UUID) -> KeyTestOut:
    """Make one call with a key, reserved within its limits, and tell what came of it.

    409 for a key that is switched off, or while somebody tests it. A person may do it 10 times a minute.
    """
    return KeyTestOut.model_validate(key_acts.test_key(key_id))


@keys.post("/keys/<uuid:key_id>/reset")
@for_operators
@keys.output(KeyOut)
@keys.doc(security="bearer", responses=[403, 404, 503])
def reset_key(key_id: UUID) -> KeyOut:
    """Let a key that rests be used again at once."""
    return KeyOut.model_validate(key_acts.reset_key(key_id))
