"""With a processor stopped, the commands of the others are accepted, and the stopped one catches up when it is back.

ORDERFLOW_COMMAND is the command that starts the store, to which `node.tasks` is added: which sub-topologies of each business
run. The first is the one that takes the customers' commands; behind it are stock, item management, the call list and the
books, and behind these the delivery and the librarian.
"""

import os
import shlex
import subprocess
import time
from contextlib import contextmanager

import requests

from store import PATIENCE_SECONDS, Web, fresh_id

NOT_NOW = {"Prefer": "wait=0"}


@contextmanager
def running(tasks):
    """The store with these sub-topologies of each business, stopped in order at the end."""
    base = os.environ["ORDERFLOW_URL"]
    command = shlex.split(os.environ["ORDERFLOW_COMMAND"]) + ["--set", f"node.tasks={tasks}"]
    with open(os.environ["ORDERFLOW_LOG"], "a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        await_ready(process, base)
        yield Web(base, os.environ["PROVIDER_URL"])
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def await_ready(process, base):
    """Ready and with the tasks it was started for: on Kafka they come one after another."""
    deadline, before = time.monotonic() + PATIENCE_SECONDS, None
    while True:
        assert process.poll() is None, "the store ended: see its log"
        assert time.monotonic() < deadline, f"not ready within {PATIENCE_SECONDS} s"
        time.sleep(0.3)
        try:
            state = requests.get(base + "/readyz", timeout=5).json()
        except requests.ConnectionError:
            continue
        # As many as before, and none still to come.
        if state["ready"] and state["tasksReadable"] and not state["restoring"] and state["tasksReadable"] == before:
            return
        before = state.get("tasksReadable")


def taken(answer):
    assert answer.status_code in (200, 201), f"{answer.status_code} {answer.text}"
    return answer.json()["id"]


def test_the_stopped_ones_catch_up():
    product, item, book = fresh_id("product"), fresh_id("item"), fresh_id("book")
    with running("all") as web:
        taken(web.post("/books", {"id": book, "bookName": "Hello, JAVA", "rentalFee": 100}))
        taken(web.post("/products", {"id": product, "name": "Coat", "price": 100, "stock": 5}))
        taken(web.post("/items", {"id": item, "name": "Drill", "fee": 100}))

    # Only the customers' side runs: stock, delivery, item management, the call list, books and librarian are stopped.
    with running("0") as web:
        order = taken(web.post("/orders", {"productId": product, "size": "S", "qty": 1, "price": 100}, **NOT_NOW))
        rental = taken(web.post("/rentals", {"itemId": item}, **NOT_NOW))
        rent = taken(web.post("/rents", {"userId": 1, "bookId": book}, **NOT_NOW))
        call = taken(web.post("/passengers", {"startLocation": "a", "endLocation": "b", "status": "call"}))
        assert web.get(f"/orders/{order}").json()["status"] == "ORDERED"
        assert web.get(f"/rentals/{rental}").json()["status"] == "REQUESTED"
        assert web.get(f"/rents/{rent}").json()["status"] == "REQUESTED"
        assert web.get(f"/passengers/{call}").json()["state"] == "CALLED"
        # The driver's acceptance is taken as well, and decided later: the breaker's fallback.
        put_off = web.post("/taxis/accept", {"callId": call, "driverId": "driver-1"})
        assert put_off.status_code == 202 and int(put_off.headers["Retry-After"]) >= 1, put_off.text

    # The delivery and the librarian are stopped: everything before them catches up.
    with running("0,1") as web:
        web.wait_for(f"/orders/{order}", lambda body: body["status"] == "PAID")
        web.wait_for(f"/rentals/{rental}", lambda body: body["status"] == "RENTED")
        web.wait_for(f"/rents/{rent}", lambda body: body["status"] == "PAID")
        decision = web.patch(f"/rents/{rent}", {"status": "APPROVED"}, Prefer="respond-async")
        assert decision.status_code == 202, decision.text
        seen = web.wait_for(f"/passengers/{call}", lambda body: body["status"] == "accept")
        assert seen["driverId"] == "driver-1"
        paid = taken(web.post("/orders", {"productId": product, "size": "M", "qty": 1, "price": 100}))
        assert web.get(f"/orders/{paid}").json()["status"] == "PAID"

    with running("all") as web:
        for late in (order, paid):
            web.wait_for(f"/orders/{late}", lambda body: body["status"] == "DELIVERY_STARTED")
        assert web.get(f"/products/{product}").json()["stock"] == 3
        # Its paid rent has reached the librarian, and the decision given meanwhile with it.
        web.wait_for(f"/rents/{rent}", lambda body: body["status"] == "APPROVED")


def test_customers_are_served_later_when_their_own_side_was_stopped():
    """The other way round: what is behind runs, and takes its own commands."""
    item = fresh_id("item")
    with running("1") as web:
        taken(web.post("/items", {"id": item, "name": "Drill", "fee": 100}))
        asked = web.post("/rentals", {"itemId": item}, Prefer="respond-async")
        assert asked.status_code == 202, asked.text
        rental = asked.json()["id"]
    with running("all") as web:
        web.wait_for(f"/rentals/{rental}", lambda body: body["status"] == "RENTED")
