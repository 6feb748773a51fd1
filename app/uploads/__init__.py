"""Uploaded lead lists: keeping the file, reading it row by row, turning rows into COPY text.

Reading never trusts the file: what is not a list is refused with an `app.errors` error that says what to
do, a bad row is reported and does not stop the others, and memory does not grow with the file.
`lead_list.open_list` is the way in; `copy_text.encode_copy` the way out.
"""
