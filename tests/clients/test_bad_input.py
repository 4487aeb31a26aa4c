"""What is wrong is answered as docs/http.md says: its table, row by row, over a real connection.

(query-api's own test reads the same table without a network; here are also the socket, its limits and real processors.)
"""

import http.client
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from store import fresh_id

DOCS = Path(__file__).resolve().parents[2] / "docs" / "http.md"
MARK = re.compile("«(.*?)»")


def rows():
    """(what is wrong, request, status, what the answer says) of every row."""
    table = DOCS.read_text().split("<!-- bad input -->")[1].split("<!-- end -->")[0]
    for line in table.strip().splitlines()[2:]:
        what, request, status, says = (cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split(" |"))
        yield pytest.param(request.strip("`"), int(status), says.replace("`", ""), id=what)


@pytest.fixture(scope="module")
def ahead(web):
    """What the rows speak of: p1 with stock, o1 delivered, o2 cancelled, o3 with an open payment; r1, a rent of an unknown
    book; a position far ahead."""
    assert web.post("/products", {"id": "p1", "name": "A shirt", "price": 100, "stock": 100}).status_code == 201
    order = {"productId": "p1", "size": "S", "qty": 1, "price": 100}
    delivered = web.post("/orders", order | {"id": "o1"})
    assert web.post("/orders", order | {"id": "o2"}).status_code == 201
    for placed in ("o1", "o2"):
        web.wait_for(f"/orders/{placed}", lambda body: body["status"] == "DELIVERY_STARTED")
    web.delete("/orders/o2")
    web.wait_for("/orders/o2", lambda body: body["status"] == "CANCELLED")
    assert web.post("/rents", {"id": "r1", "bookId": "b1"}).status_code == 201
    with web.payments(outage=True):
        assert web.post("/orders", order | {"id": "o3"}, Prefer="wait=0").status_code == 201
        web.wait_for("/orders/o3", lambda body: body["status"] == "PAYMENT_DEFERRED")
        yield delivered.headers["Orderflow-Position"].rpartition(":")[0] + ":999999"


def build(line, ahead):
    """(method, target, headers, body) of a request as the table writes it."""
    method, _, rest = line.partition(" ")
    target, _, body = rest.partition(" ")
    target = MARK.sub(lambda mark: "x" * int(mark[1]), target.replace("«ahead»", ahead))
    headers = {"Content-Type": "application/json"} if body or method == "POST" else {}
    mark = MARK.search(body)
    if mark:
        without = (body[: mark.start()] + body[mark.end() :]).strip()
        name, separator, value = mark[1].partition(": ")
        if mark[1] in ("nothing", "2 MB", "[×1000", "ff"):
            body = {"nothing": b"", "2 MB": b" " * (2 << 20), "[×1000": b"[" * 1000, "ff": b"\xff"}[mark[1]]
        elif mark[1] in ("no type", "text/plain"):
            headers, body = {} if mark[1] == "no type" else {"Content-Type": "text/plain"}, without
        elif mark[1].isdecimal():
            body = MARK.sub("x" * int(mark[1]), body)
        else:
            assert separator, f"unknown mark «{mark[1]}»"
            headers, body = headers | {name: "x" * int(value) if value.isdecimal() else value}, without
    return method, target, headers, body.encode() if isinstance(body, str) else body


def ask(base, method, target, headers, body):
    """(status, content type, text). A server may answer and close before it has read everything; that is an answer."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)
    try:
        try:
            connection.request(method, target, body=body or None, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            assert len(body) > 65536, "the connection was closed on a small request"
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type"), answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(("request_line", "status", "says"), rows())
def test_bad_input(request_line, status, says, ahead, web):
    answered, content_type, text = ask(web.base, *build(request_line, ahead))
    assert answered == status, text
    if status < 400:
        assert says in text
    elif "/registry/" in request_line:
        assert says in text
    else:
        problem = json.loads(text)
        assert content_type == "application/problem+json" and problem["status"] == status, text
        errors = [f"{error['field']} {error['detail']}" for error in problem.get("errors", [])]
        assert any(error.startswith(says) for error in errors) if errors else says in text, text


def test_the_store_works_as_before(ahead, web):
    """After everything above: an order is placed, paid and delivered."""
    with web.payments(outage=False):
        order = fresh_id("order")
        assert web.post("/orders", {"id": order, "productId": "p1", "size": "S", "qty": 1, "price": 100}).status_code == 201
        web.wait_for(f"/orders/{order}", lambda body: body["status"] == "DELIVERY_STARTED")
        web.wait_for("/orders/o3", lambda body: body["status"] == "CANCELLED")
