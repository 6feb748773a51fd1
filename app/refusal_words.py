"""What is wrong with something that was sent, or set, in our own words: what it must be instead.

The library that reads requests and settings names errors by type, each with the values that it speaks of. Here each type that our models
can come to has its sentence, which follows the field's name: "priority: must be at most 5".
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

#: The type of an error whose message is ours already.
OURS: Final = "said"
_PREFIX: Final = "Value error, "
_TIME: Final = "must be a time with its zone, as 2026-11-22T10:15:30Z"
_ID: Final = "must be an id, as 019ab3c4-7d00-7abc-8def-0123456789ab"
_WHOLE: Final = "must be a whole number"
_NUMBER: Final = "must be a number"
_YES_OR_NO: Final = "must be true or false"
#: Type of an error -> what to do; in braces the values that it speaks of.
_WORDS: Final[Mapping[str, str]] = {
    "missing": "is needed",
    "string_type": "must be a text",
    "string_unicode": "must be a text that is valid Unicode",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "is too long a number",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": _YES_OR_NO,
    "bool_parsing": _YES_OR_NO,
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have {min_length} characters at least",
    "string_too_long": "must have {max_length} characters at most",
    "too_short": "must have {min_length} entries at least",
    "too_long": "must have {max_length} entries at most",
    "uuid_type": _ID,
    "uuid_parsing": _ID,
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": _TIME,
}
_EMPTY: Final = "must not be empty"


def in_words(error: ErrorDetails) -> str:
    """Return the sentence about an error, without what was sent; of an unknown type the library's own."""
    kind = error["type"]
    values: Mapping[str, Any] = error.get("ctx", {})
    if kind in {"string_too_short", "too_short"} and values.get("min_length") == 1:
        return _EMPTY
    if kind == "too_short" and values.get("field_type") == "Value":
        kind = "string_too_short"  # a secret, which is a text as well
    words = _WORDS.get(kind)
    return error["msg"].removeprefix(_PREFIX) if words is None else words.format_map(values)
