"""The functional requirements of the documents this was written from, one test each, by their numbers.

Every test runs through HTTP as that business's people would, on whichever log the store runs on (`./test requirements` runs
all of them on both). docs/requirements.md lists them; test_requirements_table.py compares the two.
"""

import json
import threading

import pytest
import requests

from store import PATIENCE_SECONDS, fresh_id

PRICE = 500


@pytest.fixture
def shop(web):
    return Shop(web)


@pytest.fixture
def market(web):
    return Market(web)


@pytest.fixture
def desk(web):
    return Desk(web)


@pytest.fixture
def library(web):
    return Library(web)


def made(answer):
    assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
    return answer.json()


def told(answer):
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    return answer.json()


class Follower:
    """Reads a stream of server-sent events from now on, until `until(event)`."""

    def __init__(self, web, path):
        self._answer = requests.get(web.base + path, stream=True, timeout=PATIENCE_SECONDS)
        # An event stream is UTF-8 whatever its header does not say.
        self._answer.encoding = "utf-8"
        self._lines = self._answer.iter_lines(decode_unicode=True)
        assert self._answer.status_code == 200
        self._next()  # hello: what comes from here on is sent

    def _next(self):
        for line in self._lines:
            if line.startswith("data:"):
                return json.loads(line[len("data:") :])
        raise AssertionError("the stream ended")

    def until(self, wanted):
        seen = []
        while not (seen and wanted(seen[-1])):
            seen.append(self._next())
        self._answer.close()
        return seen


class Shop:
    """fashion-store."""

    def __init__(self, web):
        self.web = web

    def product(self, stock=5):
        body = {"id": fresh_id("product"), "name": "Coat", "price": PRICE, "stock": stock}
        return made(self.web.post("/fashion-store/products", body))["id"]

    def order(self, product, qty=1):
        body = {"productId": product, "size": "S", "qty": qty, "price": PRICE, "customerId": "customer-1"}
        return made(self.web.post("/fashion-store/orders", body))

    def dashboard(self, order, status):
        return self.web.wait_for(f"/fashion-store/dashboards/{order}", lambda row: row["status"] == status)

    def delivered(self, product, qty=1):
        order = self.order(product, qty)["id"]
        self.dashboard(order, "DELIVERY_STARTED")
        return order

    def stock(self, product):
        return told(self.web.get(f"/fashion-store/products/{product}"))["stock"]


def test_fashion_store_1_the_md_registers_a_product(shop):
    product = shop.product(stock=7)
    seen = told(shop.web.get(f"/fashion-store/products/{product}"))
    assert (seen["name"], seen["price"], seen["stock"]) == ("Coat", PRICE, 7)


def test_fashion_store_2_a_customer_orders_product_size_quantity_price(shop):
    product = shop.product()
    order = shop.order(product, qty=2)
    assert (order["productId"], order["size"], order["qty"], order["price"]) == (product, "S", 2, PRICE)
    assert told(shop.web.get(f"/fashion-store/orders/{order['id']}"))["customerId"] == "customer-1"


def test_fashion_store_3_the_stock_changes_by_the_quantity_and_payment_is_made(shop):
    product = shop.product(stock=5)
    order = shop.order(product, qty=2)
    assert order["payment"] == "APPROVED", "the caller has waited for the payment"
    assert shop.stock(product) == 3
    refused = shop.order(product, qty=4)
    assert (refused["status"], refused["reason"]) == ("CANCELLED", "OUT_OF_STOCK")
    assert refused["payment"] == "NONE", "an order without stock is not paid"


def test_fashion_store_4_a_paid_order_goes_to_delivery_management(shop):
    order = shop.order(shop.product())["id"]
    delivery = shop.web.wait_for(f"/fashion-store/deliveries/{order}", lambda body: True)
    assert delivery["orderId"] == order
    with shop.web.payments(decline_percent=100):
        declined = shop.order(shop.product())
    assert (declined["status"], declined["reason"]) in (("CANCELLING", "PAYMENT_DECLINED"), ("CANCELLED", "PAYMENT_DECLINED"))
    shop.dashboard(declined["id"], "CANCELLED")
    assert shop.web.get(f"/fashion-store/deliveries/{declined['id']}").status_code == 404, "unpaid: never delivered"


def test_fashion_store_5_delivery_management_starts_the_delivery(shop):
    order = shop.delivered(shop.product())
    delivery = told(shop.web.get(f"/fashion-store/deliveries/{order}"))
    assert delivery["status"] == "STARTED" and delivery["startedAt"]


def test_fashion_store_6_the_customer_looks_the_state_up_on_the_dashboard(shop):
    order = shop.delivered(shop.product())
    shop.web.delete(f"/fashion-store/orders/{order}")
    row = shop.dashboard(order, "CANCELLED")
    times = [row[name] for name in ("orderedAt", "paidAt", "deliveryStartedAt", "deliveryCancelledAt")]
    assert all(times) and times == sorted(times), row


@pytest.mark.parametrize("by", ["md", "customer"])
def test_fashion_store_7_the_md_enters_a_cancellation_or_the_customer_deletes_the_order(shop, by):
    order = shop.delivered(shop.product())
    if by == "md":
        made(shop.web.post("/fashion-store/cancellations", {"orderId": order}))
    else:
        told(shop.web.delete(f"/fashion-store/orders/{order}"))
    assert shop.dashboard(order, "CANCELLED")["reason"] == by.upper()


def test_fashion_store_8_a_cancelled_orders_delivery_and_payment_are_cancelled(shop):
    order = shop.delivered(shop.product())
    shop.web.delete(f"/fashion-store/orders/{order}")
    shop.dashboard(order, "CANCELLED")
    assert told(shop.web.get(f"/fashion-store/deliveries/{order}"))["status"] == "CANCELLED"
    assert told(shop.web.get(f"/fashion-store/payments/{order}"))["status"] == "REFUNDED"


def test_fashion_store_9_a_cancelled_orders_quantity_goes_back_to_stock(shop):
    product = shop.product(stock=5)
    order = shop.delivered(product, qty=3)
    assert shop.stock(product) == 2
    shop.web.delete(f"/fashion-store/orders/{order}")
    shop.web.wait_for(f"/fashion-store/products/{product}", lambda body: body["stock"] == 5)


class Market:
    """gdmarket."""

    def __init__(self, web):
        self.web = web

    def item(self):
        body = {"id": fresh_id("item"), "name": "Drill", "fee": PRICE}
        return made(self.web.post("/gdmarket/items", body))["id"]

    def request(self, item):
        return made(self.web.post("/gdmarket/rentals", {"itemId": item, "renterId": "renter-1"}))

    def rental(self, rental, status):
        return self.web.wait_for(f"/gdmarket/rentals/{rental}", lambda body: body["status"] == status)

    def rented(self, item):
        rental = self.request(item)["id"]
        self.rental(rental, "RENTED")
        return rental

    def give_back(self, rental):
        told(self.web.patch(f"/gdmarket/rentals/{rental}", {"status": "RETURNED"}))
        self.rental(rental, "RETURNED")

    def status(self, item):
        return told(self.web.get(f"/gdmarket/items/{item}"))["status"]


def test_gdmarket_1_the_item_manager_registers_an_item(market):
    item = market.item()
    seen = told(market.web.get(f"/gdmarket/items/{item}"))
    assert (seen["name"], seen["fee"], seen["status"]) == ("Drill", PRICE, "AVAILABLE")
    assert told(market.web.get(f"/gdmarket/itemviews/{item}"))["status"] == "AVAILABLE"


def test_gdmarket_2_the_item_manager_deletes_an_item_but_not_while_it_is_out(market):
    item = market.item()
    rental = market.rented(item)
    assert told(market.web.delete(f"/gdmarket/items/{item}"))["verdict"] == "REFUSED"
    market.give_back(rental)
    assert told(market.web.delete(f"/gdmarket/items/{item}"))["status"] == "DELETED"
    assert market.request(item)["reason"] == "DELETED", "a deleted item is not rented"


def test_gdmarket_3_a_renter_requests_an_items_rental(market):
    item = market.item()
    rental = market.request(item)
    assert (rental["itemId"], rental["renterId"]) == (item, "renter-1")
    assert [step["status"] for step in rental["history"]][:2] == ["REQUESTED", "ITEM_LOCKED"]


def test_gdmarket_4_a_requested_item_is_unavailable(market):
    item = market.item()
    with market.web.payments(outage=True):
        first = market.request(item)
        assert first["status"] == "PAYMENT_DEFERRED" and market.status(item) == "LOCKED"
        second = market.request(item)
        assert (second["status"], second["reason"]) == ("CANCELLED", "NOT_AVAILABLE")


def test_gdmarket_5_the_customer_pays(market):
    rental = market.request(market.item())
    payment = told(market.web.get(f"/gdmarket/payments/{rental['id']}"))
    assert (payment["status"], payment["price"]) == ("APPROVED", PRICE)


def test_gdmarket_6_the_customer_cancels_the_payment(market):
    item = market.item()
    rental = market.rented(item)
    told(market.web.delete(f"/gdmarket/payments/{rental}"))
    assert market.rental(rental, "CANCELLED")["reason"] == "PAYMENT_CANCELLED"
    assert told(market.web.get(f"/gdmarket/payments/{rental}"))["status"] == "REFUNDED"


def test_gdmarket_7_a_paid_item_is_rented_out(market):
    item = market.item()
    market.rented(item)
    assert market.status(item) == "RENTED"
    with market.web.payments(decline_percent=100):
        unpaid = market.item()
        declined = market.request(unpaid)["id"]
        assert market.rental(declined, "CANCELLED")["reason"] == "PAYMENT_DECLINED"
    assert market.status(unpaid) == "AVAILABLE", "an unpaid item is not out"


def test_gdmarket_8_the_renter_cancels_the_request(market):
    item = market.item()
    rental = market.request(item)["id"]
    told(market.web.delete(f"/gdmarket/rentals/{rental}"))
    assert market.rental(rental, "CANCELLED")["reason"] == "RENTER"
    assert told(market.web.get(f"/gdmarket/payments/{rental}"))["status"] in ("REFUNDED", "VOIDED")
    assert market.status(item) == "AVAILABLE"


def test_gdmarket_9_a_returned_item_is_available(market):
    item = market.item()
    market.give_back(market.rented(item))
    assert market.status(item) == "AVAILABLE"
    market.rented(item)


def test_gdmarket_10_the_renter_looks_the_rental_up_at_any_time(market):
    follower = Follower(market.web, "/gdmarket/rentals/events?renterId=renter-1")
    rental = market.rented(market.item())
    market.give_back(rental)
    seen = [event["status"] for event in follower.until(lambda e: e["status"] == "RETURNED") if event["id"] == rental]
    history = [step["status"] for step in told(market.web.get(f"/gdmarket/rentals/{rental}"))["history"]]
    assert seen == history == ["REQUESTED", "ITEM_LOCKED", "PAID", "RENTED", "RETURNED"]


class Desk:
    """taxi."""

    def __init__(self, web):
        self.web = web

    def call(self):
        body = {"startLocation": "서울역", "endLocation": "강남역", "status": "call", "passengerId": fresh_id("passenger")}
        return made(self.web.post("/taxi/passengers", body))

    def listed(self):
        call = self.call()["id"]
        self.web.wait_for(f"/taxi/calls/{call}", lambda body: True)
        return call

    def accept(self, call, driver):
        body = {"callId": call, "startLocation": "서울역", "endLocation": "강남역", "status": "accept", "driverId": driver}
        return self.web.post("/taxi/taxis/accept", body)


def test_taxi_1_a_passenger_calls_a_taxi(desk):
    call = desk.call()
    assert (call["startLocation"], call["endLocation"], call["status"]) == ("서울역", "강남역", "call")
    assert told(desk.web.get(f"/taxi/passengers/{call['id']}"))["status"] == "call"


def test_taxi_2_calls_pile_up_on_the_call_list(desk):
    calls = {desk.listed() for _ in range(3)}
    page = told(desk.web.get("/taxi/opencalls?size=1000&sort=id,desc"))
    assert calls <= {call["id"] for call in page["_embedded"]["opencalls"]}


def test_taxi_3_the_call_is_sent_to_the_drivers(desk):
    follower = Follower(desk.web, "/taxi/taxis/events?driverId=driver-1")
    call = desk.call()["id"]
    news = follower.until(lambda event: event["callId"] == call)[-1]
    assert (news["event"], news["startLocation"]) == ("callListed", "서울역")


def test_taxi_4_a_driver_accepts_it(desk):
    call = desk.listed()
    answer = told(desk.accept(call, "driver-1"))
    assert answer["accepted"] and answer["driverId"] == "driver-1"


def test_taxi_5_the_call_list_checks_that_the_call_is_open(desk):
    assert desk.accept(fresh_id("call"), "driver-1").status_code == 404, "not on the list"
    call = desk.listed()
    winners = []

    def drive(number):
        if told(desk.accept(call, f"driver-{number}"))["accepted"]:
            winners.append(number)

    drivers = [threading.Thread(target=drive, args=(number,)) for number in range(10)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert len(winners) == 1, f"one call, {len(winners)} drivers"
    assert told(desk.web.get(f"/taxi/calls/{call}"))["driverId"] == f"driver-{winners[0]}"


def test_taxi_6_who_comes_later_is_told_that_it_is_assigned(desk):
    call = desk.listed()
    told(desk.accept(call, "driver-1"))
    late = told(desk.accept(call, "driver-2"))
    assert (late["accepted"], late["message"], late["driverId"]) == (False, "배차완료된 콜입니다", "driver-1")


def test_taxi_7_an_open_call_is_assigned(desk):
    call = desk.listed()
    told(desk.accept(call, "driver-1"))
    seen = told(desk.web.get(f"/taxi/calls/{call}"))
    assert (seen["status"], seen["state"], seen["driverId"]) == ("accept", "ASSIGNED", "driver-1")


def test_taxi_8_the_customers_call_is_updated_to_assigned(desk):
    call = desk.call()
    follower = Follower(desk.web, f"/taxi/passengers/events?passengerId={call['passengerId']}")
    desk.web.wait_for(f"/taxi/calls/{call['id']}", lambda body: True)
    told(desk.accept(call["id"], "driver-1"))
    news = follower.until(lambda event: event["state"] == "ASSIGNED")[-1]
    assert (news["id"], news["status"], news["driverId"]) == (call["id"], "accept", "driver-1")
    desk.web.wait_for(f"/taxi/passengers/{call['id']}", lambda body: body["status"] == "accept")


class Library:
    """ebook-rental."""

    def __init__(self, web):
        self.web = web

    def book(self):
        body = {"id": fresh_id("book"), "bookName": "Hello, JAVA", "rentalFee": PRICE}
        return made(self.web.post("/ebook-rental/books", body))["id"]

    def request(self, book):
        body = {"userId": "user-1", "bookId": book, "bookName": "Hello, JAVA", "rentalFee": PRICE}
        return made(self.web.post("/ebook-rental/rents", body))

    def rent(self, rent, status):
        return self.web.wait_for(f"/ebook-rental/rents/{rent}", lambda body: body["status"] == status)

    def paid(self, book):
        """A rent that waits for the librarian."""
        rent = self.request(book)["id"]
        self.web.wait_for(f"/ebook-rental/approvals/{rent}", lambda body: body["status"] == "WAITING")
        return rent

    def update(self, rent, status, **more):
        return told(self.web.patch(f"/ebook-rental/rents/{rent}", {"status": status, **more}))

    def approved(self, book):
        rent = self.paid(book)
        self.update(rent, "APPROVED", librarianId="librarian-1")
        self.rent(rent, "APPROVED")
        return rent

    def book_status(self, book):
        return told(self.web.get(f"/ebook-rental/books/{book}"))["status"]


def test_ebook_rental_1_the_librarian_registers_a_book(library):
    book = library.book()
    seen = told(library.web.get(f"/ebook-rental/books/{book}"))
    assert (seen["bookName"], seen["rentalFee"], seen["status"]) == ("Hello, JAVA", PRICE, "POSSIBLE")


def test_ebook_rental_2_a_member_requests_a_rental(library):
    book = library.book()
    rent = library.request(book)
    assert (rent["userId"], rent["bookId"], rent["rentalFee"]) == ("user-1", book, PRICE)
    other = library.request(book)
    assert (other["status"], other["reason"]) == ("CANCELED", "TAKEN_BY_ANOTHER"), "one copy, one reader"


def test_ebook_rental_3_the_member_pays(library):
    rent = library.request(library.book())
    payment = told(library.web.get(f"/ebook-rental/payments/{rent['id']}"))
    assert (payment["status"], payment["price"]) == ("PAID", PRICE)


def test_ebook_rental_4_the_request_reaches_the_librarian(library):
    rent = library.paid(library.book())
    waiting = told(library.web.get("/ebook-rental/waitingapprovals?size=1000"))
    assert rent in [approval["id"] for approval in waiting["_embedded"]["waitingapprovals"]]


@pytest.mark.parametrize("decision", ["APPROVED", "REJECTED"])
def test_ebook_rental_5_the_librarian_approves_or_rejects(library, decision):
    rent = library.paid(library.book())
    answer = library.update(rent, decision, librarianId="librarian-1")
    assert (answer["status"], answer["librarianId"]) == (decision, "librarian-1")
    with library.web.payments(outage=True):
        unpaid = library.request(library.book())["id"]
        refused = library.update(unpaid, "APPROVED")
        assert "REFUSED" in (refused["status"], refused.get("verdict")), "an unpaid request is never approved"


def test_ebook_rental_6_on_approval_the_rental_starts(library):
    book = library.book()
    library.approved(book)
    assert library.book_status(book) == "TAKEN"


def test_ebook_rental_7_the_member_returns_the_book(library):
    book = library.book()
    rent = library.approved(book)
    library.update(rent, "RETURNED")
    library.rent(rent, "RETURNED")
    library.web.wait_for(f"/ebook-rental/books/{book}", lambda body: body["status"] == "POSSIBLE")


def test_ebook_rental_8_on_rejection_the_payment_is_cancelled(library):
    rent = library.paid(library.book())
    library.update(rent, "REJECTED", reason="reserved for the reading circle")
    library.web.wait_for(f"/ebook-rental/payments/{rent}", lambda body: body["status"] == "REFUNDED")


def test_ebook_rental_9_when_the_payment_is_cancelled_the_rental_is(library):
    book = library.book()
    rent = library.paid(book)
    library.update(rent, "REJECTED")
    assert library.rent(rent, "CANCELED")["reason"] == "REJECTED"
    library.web.wait_for(f"/ebook-rental/books/{book}", lambda body: body["status"] == "POSSIBLE")


def test_ebook_rental_10_the_member_looks_the_state_up_at_any_time(library):
    rent = library.approved(library.book())
    library.update(rent, "RETURNED")
    row = library.web.wait_for(f"/ebook-rental/dashboards/{rent}", lambda body: body["status"] == "RETURNED")
    dates = [row[name] for name in ("rentedDate", "paidDate", "approvedDate", "returnedDate")]
    assert all(dates) and dates == sorted(dates) and row["canceledDate"] is None, row
