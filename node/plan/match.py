"""Whether a value meets a condition, and if not, why not in one sentence.

`node.config.condition.FORMS` is the language. A value of the wrong type does not hold;
it never raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from node.config.condition import Condition, ConditionValue
from node.config.fields import PRIVATE_FIELDS
from node.plan.values import number_of, shown, values_of


def holds(condition: ConditionValue, value: Any) -> bool:
    """Decide whether an element's value, None where it is absent, meets a condition."""
    return not _failures(condition, values_of(value))


def explain(field: str, condition: ConditionValue, value: Any) -> str | None:
    """Say why a field does not meet a condition, or None if it does.

    Returns
    -------
    str or None
        A sentence such as ``BodyPartExamined is HEAD; expected CHEST or THORAX``. The
        value is left out for fields that may hold patient data.
    """
    values = values_of(value)
    failures = _failures(condition, values)
    if not failures:
        return None
    if not values:
        found = "is absent"
    elif field in PRIVATE_FIELDS:
        found = "does not match"
    else:
        found = f"is {_listed([shown(one) for one in values[:6]], 'and')}"
    return f"{field} {found}; expected {' and '.join(failures)}"


def first_failure(when: Mapping[str, ConditionValue], attributes: Mapping[str, Any]) -> str | None:
    """Explain the first condition that does not hold, or None if all do."""
    reasons = (explain(name, wanted, attributes.get(name)) for name, wanted in when.items())
    return next((reason for reason in reasons if reason), None)


def _failures(condition: ConditionValue, values: Sequence[Any]) -> list[str]:
    """What each part of a condition that does not hold expected."""
    if isinstance(condition, Condition):
        return _mapping_failures(condition, values)
    wanted = _tuple(condition)
    if any(_equal(one, value) for one in wanted for value in values):
        return []
    return [_listed([shown(one) for one in wanted], "or")]


def _mapping_failures(condition: Condition, values: Sequence[Any]) -> list[str]:
    failures = []
    if condition.present is not None and condition.present is not bool(values):
        failures.append("a value" if condition.present else "no value")
    unwanted = _tuple(condition.not_)
    if any(_equal(one, value) for one in unwanted for value in values):
        failures.append(f"anything but {_listed([shown(one) for one in unwanted], 'or')}")
    words = _tuple(condition.contains)
    texts = [str(value).casefold() for value in values]
    if words and not any(word.casefold() in text for word in words for text in texts):
        failures.append(f"text with {_listed([repr(word) for word in words], 'or')}")
    if condition.matches is not None:
        pattern = re.compile(condition.matches, re.IGNORECASE)
        if not any(pattern.search(str(value)) for value in values):
            failures.append(f"text that matches {condition.matches!r}")
    if not _in_range(condition, values):
        failures.append(_range(condition))
    return failures


def _in_range(condition: Condition, values: Sequence[Any]) -> bool:
    if condition.min is None and condition.max is None:
        return True
    least = float("-inf") if condition.min is None else condition.min
    greatest = float("inf") if condition.max is None else condition.max
    numbers = (number_of(value) for value in values)
    return any(number is not None and least <= number <= greatest for number in numbers)


def _range(condition: Condition) -> str:
    if condition.max is None:
        return f"at least {condition.min:g}"
    if condition.min is None:
        return f"at most {condition.max:g}"
    return f"{condition.min:g} to {condition.max:g}"


def _equal(wanted: float | str, value: Any) -> bool:
    """Compare as numbers if one side is a number, else as text without regard to case."""
    if not (isinstance(wanted, str) and isinstance(value, str)):
        left, right = number_of(wanted), number_of(value)
        if left is not None and right is not None:
            return left == right
    return str(wanted).strip().casefold() == str(value).casefold()


def _tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _listed(words: Sequence[str], last: str) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"
