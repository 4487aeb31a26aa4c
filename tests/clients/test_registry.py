"""A registry that was empty has the store's schemas, and what the store writes bears the registry's ids, not its own."""

import struct

from confluent_kafka import Consumer

from store import DELIVERIES, ORDERS, PATIENCE_SECONDS, PRODUCTS, fresh_id

# Where the ids begin that the store uses without a registry.
OWN_IDS = 1_000_000_000


def test_subjects_are_registered_by_topic(registry):
    subjects = registry.get_subjects()
    for topic in (PRODUCTS, ORDERS, DELIVERIES):
        assert f"{topic}-value" in subjects, subjects


def test_events_bear_the_registrys_ids(brokers, registry, commands, web):
    product, order = fresh_id("product"), fresh_id("order")
    sent = commands("murmur2_random")
    sent.register_product(product, stock=1)
    sent.flush()
    web.wait_for(f"/products/{product}", lambda body: body["stock"] == 1)
    sent.place_order(order, product)
    sent.flush()
    web.wait_for(f"/dashboards/{order}", lambda body: body["status"] == "DELIVERY_STARTED")

    wanted = registry.get_latest_version(f"{DELIVERIES}-value").schema_id
    assert wanted < OWN_IDS
    assert schema_id_of(brokers, order) == wanted


def schema_id_of(brokers, order):
    """The id in Confluent's framing (magic byte 0, then four bytes, big-endian) of an order's delivery event."""
    consumer = Consumer(
        {"bootstrap.servers": brokers, "group.id": fresh_id("reader"), "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([DELIVERIES])
    try:
        for _ in range(PATIENCE_SECONDS):
            message = consumer.poll(1)
            if message is not None and message.error() is None and message.key() == order.encode():
                magic, schema_id = struct.unpack(">bI", message.value()[:5])
                assert magic == 0
                return schema_id
        raise AssertionError(f"no delivery event of {order} within {PATIENCE_SECONDS} s")
    finally:
        consumer.close()
