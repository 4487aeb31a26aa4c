"""docs/requirements.md and test_requirements.py name the same tests, and every number of every document has one."""

import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parent.parent / "docs" / "requirements.md"
# How many functional requirements each document numbers.
REQUIREMENTS = {"fashion-store": 9, "gdmarket": 10, "taxi": 8, "ebook-rental": 10}


def rows():
    """(business, number, test) of every row of the table."""
    row = re.compile(r"^\| ([a-z-]+) \| (\d+) \| .* \| `(test_\w+)` \|$", re.M)
    return [(business, int(number), test) for business, number, test in row.findall(TABLE.read_text())]


def defined():
    return re.findall(r"^def (test_\w+)\(", (HERE / "test_requirements.py").read_text(), re.M)


def test_every_requirement_has_its_test_and_every_test_its_requirement():
    listed = {(business, number) for business, number, _ in rows()}
    assert listed == {(business, n) for business, count in REQUIREMENTS.items() for n in range(1, count + 1)}
    assert sorted(test for _, _, test in rows()) == sorted(defined())
    for business, number, test in rows():
        assert test.startswith(f"test_{business.replace('-', '_')}_{number}_"), f"{test} says another number"
