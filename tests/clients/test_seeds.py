"""The commands of the documents this business was written from, letter by letter, as their readers would type them.

They name port 8088, so the store has to be there (`./test seeds`): fresh, since the first test wants product 4000 unknown.
SIEGE_SECONDS says how long the load commands run, in place of the documents' own 30 and 60.
"""

import json
import os
import pty
import re
import subprocess

from store import PATIENCE_SECONDS

PLACE = 'http POST :8088/orders productId="4000" size="S" qty=1 price=50000'
ORDERS = """siege -c100 -t30S --content-type "application/json" 'http://127.0.0.1:8088/orders POST {"productId":"1500","qty":1,"size":"30","price":100}'"""
# The documents' hosts are gone; what they ran on is a gateway on this port.
ACCEPT = """siege -c15 -t60S --content-type "application/json" 'http://127.0.0.1:8088/taxis/accept POST {"callId":1, "startLocation": "서울역", "endLocation": "강남역", "status" : "accept" }'"""
RENTS = """siege -v -c100 -t60S -r10 --content-type "application/json" 'http://127.0.0.1:8088/rents POST {"userId":1, "bookId":1, "bookName":"Hello, JAVA", "rentalFee":3000}'"""
STOCK = 10
# What the documents had the called step sleep, for their breaker of 610 ms to have something to do.
SLEEPING = {"latency_ms": 400, "jitter_ms": 220}

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def at_a_terminal(command):
    """What a command shows on a terminal, which httpie looks for: else it reads a body from its input."""
    ours, terminal = pty.openpty()
    with subprocess.Popen(command, shell=True, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # Linux says EIO once no one has the terminal open
                break
    os.close(ours)
    text = COLOURS.sub("", shown.decode()).replace("\r", "")
    assert process.returncode == 0, text
    return text


def httpie(command):
    """(status, headers, body) of an httpie command."""
    head, _, body = at_a_terminal(command).partition("\n\n")
    first, *lines = head.split("\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, json.loads(body)


def test_the_order_command(web):
    status, headers, refused = httpie(PLACE)
    assert status == 201, refused
    assert (refused["status"], refused["reason"]) == ("CANCELLED", "UNKNOWN_PRODUCT"), refused

    status, _, product = httpie(f"http POST :8088/products id=4000 name=Coat price=50000 stock={STOCK}")
    assert (status, product["stock"]) == (201, STOCK)

    status, headers, order = httpie(PLACE)
    assert status == 201, order
    assert headers["location"] == f"/orders/{order['id']}"
    assert {key: order[key] for key in ("productId", "size", "qty", "price")} == {
        "productId": "4000", "size": "S", "qty": 1, "price": 50000,
    }  # fmt: skip
    for link in ("self", "order"):
        assert order["_links"][link]["href"].endswith(headers["location"])
    dashboard = web.wait_for(f"/dashboards/{order['id']}", lambda body: body["status"] == "DELIVERY_STARTED")
    assert dashboard["productId"] == "4000", dashboard
    assert web.get("/products/4000").json()["stock"] == STOCK - 1

    status, _, cancelled = httpie(f"http DELETE :8088/orders/{order['id']}")
    assert status == 200, cancelled
    gone = web.wait_for(f"/orders/{order['id']}", lambda body: body["status"] == "CANCELLED")
    assert (gone["payment"], gone["delivery"]) == ("REFUNDED", "CANCELLED"), gone
    web.wait_for(f"/dashboards/{order['id']}", lambda body: body["status"] == "CANCELLED")
    web.wait_for("/products/4000", lambda body: (body["stock"], body["reserved"]) == (STOCK, 0))


def siege(command, at_least):
    """What siege reports: every request answered with success, `at_least` of them a second."""
    seconds = int(os.environ.get("SIEGE_SECONDS", "30"))
    command = re.sub(r"-t\d+S", f"-t{seconds}S", command)
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=seconds + PATIENCE_SECONDS)
    report = dict(re.findall(r'"(\w+)":\s*([\d.]+)', done.stdout))
    print(f"{command.split(' --')[0]}: {report}")
    assert done.returncode == 0 and report, done.stderr
    assert float(report["availability"]) == 100.0 and int(report["failed_transactions"]) == 0, report
    assert float(report["transaction_rate"]) > at_least, report
    return int(report["transactions"])


def ordered(web, product, stock, at_least):
    """Every order that was answered took its piece; siege does not wait for its last hundred, which may have taken theirs."""
    body = {"id": product, "name": "Shirt", "price": 100, "stock": stock}
    assert web.post("/products", body).status_code == 201
    answered = siege(ORDERS.replace("1500", product), at_least)
    taken = stock - web.get(f"/products/{product}").json()["stock"]
    assert answered <= taken <= answered + 100, f"{taken} pieces taken, {answered} orders answered"


def test_the_load_command(web):
    # Less than an order a second for each of the hundred is a stall.
    ordered(web, "1500", 10_000_000, at_least=100)


def test_the_load_command_while_payment_sleeps(web):
    """Some calls take longer than the breaker waits: their payment is put off, and made later. No order is refused."""
    with web.payments(**SLEEPING):
        ordered(web, "1501", 10_000_000, at_least=19.6)


def test_the_passengers_and_drivers_commands(web):
    place = "http POST :8088/passengers id=6 startLocation=서울역 endLocation=강남역 status=call"
    accept = "http POST :8088/taxis/accept callId=6 startLocation=서울역 endLocation=강남역 status=accept"
    status, headers, call = httpie(place)
    assert (status, headers["location"], call["status"]) == (201, "/passengers/6", "call")
    web.wait_for("/calls/6", lambda body: body["status"] == "call")
    _, _, first = httpie(accept)
    web.wait_for("/passengers/6", lambda body: body["status"] == "accept")
    _, _, second = httpie(accept)
    decisions = [decision(web, answer) for answer in (first, second)]
    assert [decision["accepted"] for decision in decisions] == [True, False]
    assert decisions[1]["message"] == "배차완료된 콜입니다"


def decision(web, answer):
    """What was decided about an acceptance: the answer, or what it links to when the call list was too slow for it."""
    if "accepted" in answer:
        return answer
    path = re.sub(r"^https?://[^/]+", "", answer["_links"]["command"]["href"])
    return web.wait_for(path, lambda body: True)


def test_the_drivers_load_command(web):
    """The call list sleeps as the documents had it: every driver is answered, every acceptance is judged, one has the call."""
    body = {"id": 1, "startLocation": "서울역", "endLocation": "강남역", "status": "call"}
    assert web.post("/passengers", body).status_code == 201
    web.wait_for("/calls/1", lambda call: call["status"] == "call")
    answered = siege(ACCEPT, at_least=16.8)
    print("breaker:", web.get("/breakers").json()["breakers"])
    web.wait_for("/passengers/1", lambda seen: seen["status"] == "accept")
    judged = [entry["value"]["verdict"] for entry in entries(web, "/taxi/stores/acceptances?prefix=1%1F&limit=1000")]
    assert judged.count("ACCEPTED") == 1 and set(judged) == {"ACCEPTED", "REFUSED"}
    assert answered <= len(judged) <= answered + 15, f"{len(judged)} judged, {answered} answered"


def test_the_members_commands(web):
    _, _, book = httpie('http POST :8088/books id=1 bookName="Hello, JAVA" rentalFee=3000')
    assert (book["status"], book["rentalFee"]) == ("POSSIBLE", 3000)
    status, headers, rent = httpie('http POST :8088/rents userId=1 bookId=1 bookName="Hello, JAVA" rentalFee=3000')
    assert (status, headers["location"]) == (201, f"/rents/{rent['id']}")
    _, _, seen = httpie(f"http :8088/rents/{rent['id']}")
    assert (seen["status"], seen["userId"]) == ("PAID", "1")
    assert web.patch(f"/rents/{rent['id']}", {"status": "REJECTED"}).status_code == 200
    web.wait_for("/books/1", lambda body: body["status"] == "POSSIBLE")


def test_the_members_load_command_while_payment_sleeps(web):
    """A hundred members want one book: one of them gets it, the others are told."""
    with web.payments(**SLEEPING):
        answered = siege(RENTS, at_least=19.6)
    page = web.get("/rents?size=1").json()["page"]
    # The one before the load, and those that siege did not wait for.
    assert answered < page["totalElements"] <= answered + 101, (answered, page)
    rent = web.get("/books/1").json()["rentId"]
    web.wait_for(f"/rents/{rent}", lambda body: body["status"] == "PAID")


def entries(web, path):
    """All entries of a range, page by page."""
    while path:
        page = web.get(path).json()
        yield from page["entries"]
        path = page.get("_links", {}).get("next", {}).get("href")
