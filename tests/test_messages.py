"""Every error that a user can meet says what is allowed or what to do next."""

from __future__ import annotations

import pytest
from messages import DO, ERRORS, Message, classes, messages

FOUND = list(messages())


def test_every_message_says_what_is_allowed_or_what_to_do():
    assert not [f"{message.place}: {message.text}" for message in FOUND if not message.helps]


def test_the_messages_of_all_errors_are_collected():
    assert {kind.__name__ for kind in classes()} - {"OutOfRange", "ConformanceError"} <= {*ERRORS}
    assert len(FOUND) > 250 and {message.error for message in FOUND} >= {*ERRORS} - {"SamebenchError"}


@pytest.mark.parametrize(
    ("text", "helps"),
    [
        ("there is no model lenet6", False),
        ("there is no model lenet6; {nearest(name, known)}", True),
        ("{path} must be a whole number, not {value}", True),
        ("{path} is empty; get it again", True),
        ("{path} has nothing to give us again", False),
        ("the {kind} of {name} is wrong: {error}", False),
        ("{where}: {error}", True),
        ("{name} is not installed: pip install '{package}'", True),
    ],
)
def test_a_message_helps_if_it_names_what_is_allowed_or_what_to_do(text, helps):
    assert Message("here", "UsageError", text).helps is helps


def test_a_word_that_only_looks_like_a_command_is_none():
    assert not DO.search("its uses are many, and given names are read")
