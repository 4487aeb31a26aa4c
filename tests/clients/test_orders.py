"""Orders by a Kafka client that is not ours: what is sold is delivered, what is not there is cancelled, what is
cancelled comes back; whichever partition the client's own partitioner puts a command on."""

import zlib

import pytest
from confluent_kafka.schema_registry import Schema
from pathlib import Path

from store import CANCELLATIONS, DELIVERIES, ORDERS, PRODUCTS, fresh_id

STOCK = 10
ORDERED = 12
CALLED_BACK = 3

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas" / "avro" / "fashion-store"


@pytest.mark.parametrize("partitioner", ["murmur2_random", "consistent_random"])
def test_an_order_is_delivered_or_cancelled_and_stock_adds_up(partitioner, commands, events, web):
    """`consistent_random` is librdkafka's default (CRC32): most of its commands sit on another partition than the
    one that owns their key, and must be handled all the same."""
    client = commands(partitioner)
    product = fresh_id("product")
    client.register_product(product, stock=STOCK)
    client.flush()
    web.wait_for(f"/products/{product}", lambda body: int(body["stock"]) == STOCK)

    orders = [fresh_id("order") for _ in range(ORDERED)]
    for order in orders:
        client.place_order(order, product)
    client.flush()

    def settled(order):
        return order in events.started or order in events.cancelled

    events.wait_for("an outcome for every order", lambda: all(map(settled, orders)))
    delivered = [order for order in orders if order in events.started]
    refused = [order for order in orders if order in events.cancelled]
    assert len(delivered) == STOCK and len(refused) == ORDERED - STOCK
    assert {events.cancelled[order][0]["reason"] for order in refused} == {"OUT_OF_STOCK"}
    for order in delivered:
        event = events.started[order][0]
        assert (event["product_id"], event["qty"], event["size"]) == (product, 1, "M")
        web.wait_for(f"/dashboards/{order}", lambda body: body["status"] == "DELIVERY_STARTED")

    called_back = delivered[:CALLED_BACK]
    for order in called_back:
        client.cancel_order(order)
    client.flush()
    events.wait_for(
        "both events of every cancellation",
        lambda: all(order in events.recalled and order in events.cancelled for order in called_back),
    )
    assert {events.cancelled[order][0]["reason"] for order in called_back} == {"CUSTOMER"}
    web.wait_for(f"/products/{product}", lambda body: int(body["stock"]) == CALLED_BACK)
    for order in orders:
        happened = [len(kept.get(order, [])) for kept in (events.started, events.recalled, events.cancelled)]
        expected = [1, 1, 1] if order in called_back else [1, 0, 0] if order in delivered else [0, 0, 1]
        assert happened == expected, f"{order}: [started, called back, cancelled] = {happened}, not {expected}"


def test_the_default_partitioner_really_scatters(commands, admin):
    """What makes the test above worth running: CRC32 and murmur2 disagree about where these keys belong."""
    keys = [fresh_id("order") for _ in range(40)]
    placed = {}
    for partitioner in ("murmur2_random", "consistent_random"):
        client = commands(partitioner)
        for key in keys:
            client.cancel_order(key)
        client.flush()
        placed[partitioner] = [client.partitions[(ORDERS, key)] for key in keys]
    count = len(admin.list_topics(ORDERS).topics[ORDERS].partitions)
    assert placed["consistent_random"] == [zlib.crc32(key.encode()) % count for key in keys]
    assert count == 1 or placed["murmur2_random"] != placed["consistent_random"]


@pytest.mark.parametrize("partitioner", ["murmur2_random", "consistent_random"])
def test_a_command_sent_again_has_no_second_effect(partitioner, commands, events, web):
    client = commands(partitioner)
    product, order, command, marker = fresh_id("product"), fresh_id("order"), fresh_id("command"), fresh_id("order")
    client.register_product(product, stock=5)
    client.flush()
    web.wait_for(f"/products/{product}", lambda body: int(body["stock"]) == 5)
    for _ in range(3):
        client.place_order(order, product, qty=2, command_id=command)
    client.flush()
    events.wait_for("the delivery", lambda: order in events.started)
    # An order behind the repeats on the product's partition: once it is settled, the repeats have been seen.
    client.place_order(marker, product, qty=1)
    client.flush()
    events.wait_for("the delivery behind it", lambda: marker in events.started)
    web.wait_for(f"/products/{product}", lambda body: int(body["stock"]) == 2)
    assert len(events.started[order]) == 1 and order not in events.cancelled


@pytest.mark.parametrize(
    ("topic", "file"),
    [
        (PRODUCTS, "ProductCommand.avsc"),
        (ORDERS, "OrderCommand.avsc"),
        (DELIVERIES, "DeliveryEvent.avsc"),
        (CANCELLATIONS, "OrderCancelled.avsc"),
    ],
)
def test_the_node_serves_the_schemas_of_this_checkout(topic, file, registry):
    """By Confluent's client, both ways round: the subject's latest version, and the id of a schema one has."""
    subject = f"{topic}-value"
    latest = registry.get_latest_version(subject)
    ours = Schema((SCHEMAS / file).read_text(), "AVRO")
    assert registry.lookup_schema(subject, ours).schema_id == latest.schema_id
    assert registry.get_schema(latest.schema_id).schema_str == latest.schema.schema_str
