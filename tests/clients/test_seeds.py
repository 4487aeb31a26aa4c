"""The commands of the documents this business was written from, letter by letter, as their readers would type them.

They name port 8088, so the store has to be there (`./test seeds`): fresh, since the first test wants product 4000 unknown.
SIEGE_SECONDS says how long the load command runs; the documents' own is 30.
"""

import json
import os
import pty
import re
import subprocess

from store import PATIENCE_SECONDS

PLACE = 'http POST :8088/orders productId="4000" size="S" qty=1 price=50000'
SIEGE = """siege -c100 -t30S --content-type "application/json" 'http://127.0.0.1:8088/orders POST {"productId":"1500","qty":1,"size":"30","price":100}'"""
STOCK = 10

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


def test_the_load_command(web):
    stock = 10_000_000
    assert web.post("/products", {"id": "1500", "name": "Shirt", "price": 100, "stock": stock}).status_code == 201
    seconds = int(os.environ.get("SIEGE_SECONDS", "30"))
    command = SIEGE.replace("-t30S", f"-t{seconds}S")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=seconds + PATIENCE_SECONDS)
    report = dict(re.findall(r'"(\w+)":\s*([\d.]+)', done.stdout))
    print(f"siege, {seconds} s:", report)
    assert done.returncode == 0 and report, done.stderr
    answered = int(report["transactions"])
    assert float(report["availability"]) == 100.0 and int(report["failed_transactions"]) == 0, report
    assert answered > 100 * seconds, "less than an order a second for each of the hundred is a stall"

    # Every order that was answered took its piece; siege does not wait for its last hundred, which may have taken theirs.
    taken = stock - web.get("/products/1500").json()["stock"]
    assert answered <= taken <= answered + 100, f"{taken} pieces taken, {answered} orders answered"
