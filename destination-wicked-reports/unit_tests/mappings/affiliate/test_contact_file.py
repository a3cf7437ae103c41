"""The file of the contact lookup: which files are read, and which are refused, without quoting anybody."""

from __future__ import annotations

import pytest
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.mappings.affiliate.contact_file import ContactFile

ANN = {"U1": "ann@example.com"}


@pytest.mark.parametrize(
    "content",
    [
        b"contact_id,email\nU1,ann@example.com\n",
        b"\xef\xbb\xbfcontact_id,email\r\nU1,ann@example.com\r\n",
        b'"Contact ID";"E-Mail"\r\n"U1";"ann@example.com"\r\n',
        b"name\tEmail Address\tID\nAnn\tann@example.com\tU1\n",
        b"id,contact_id,email\n9,U1,ann@example.com\n",
        b'contact_id,email\n" U1 ", ann@example.com \n\nU2\n,nobody@example.com\n',
        b"contact_id,email\nU1,ann@example.com\nU1,ANN@example.com\n",
        b'{"id": "U1", "email": "ann@example.com"}\n\n{"id": "U2", "email": null}\n',
        b'\xef\xbb\xbf{"ContactID": "U1", "Email": "ann@example.com", "tags": [1]}',
    ],
)
def test_the_address_of_an_id_is_found(tmp_path, content):
    path = tmp_path / "contacts"
    path.write_bytes(content)
    found = ContactFile(str(path)).find(["U1", "U2", "u1", ""])
    assert {name: email.lower() for name, email in found.items()} == ANN


def test_numbers_are_ids_too(tmp_path):
    path = tmp_path / "contacts.jsonl"
    path.write_text('{"id": 42, "email": "ann@example.com"}\n{"email": "x@example.com"}\n')
    file = ContactFile(str(path))
    assert file.find(["42"]) == {"42": "ann@example.com"}
    assert file.incomplete == 1


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "has no first line"),
        (b"\n\n", "has no first line"),
        (b"number,email\n1,ann@example.com\n", "needs columns named `contact_id` (or `id`) and `email`"),
        (b"id,name\n1,ann@example.com\n", "needs columns named"),
        (b"id,email\n1,ann@example.com\n2,bob@example.com\n1,eve@example.com\n", "in lines 2 and 4: keep one line"),
        (b"id,email\n1,\xff\xfeann@example.com\n", "is not UTF-8 text"),
        ("id,email\n1,ann@example.com\n".encode("utf-16"), "is not UTF-8 text"),
        (b'{"id": "1", "email": "ann@example.com"}\nann@example.com\n', "line 2 is not a JSON object"),
        (b'id,email\n1,"' + b"a" * 200_000 + b'"\n', "is not valid CSV"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, content, what):
    path = tmp_path / "contacts"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as error:
        ContactFile(str(path))
    assert what in str(error.value)
    assert str(path) in str(error.value)
    assert "@" not in str(error.value).replace(str(path), "")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ContactFile(str(tmp_path / "none.csv"))
