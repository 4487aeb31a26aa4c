"""What no honest client would write on a topic does no harm there: it goes to the dead letters, whole and with its reason,
and what comes behind it is handled."""

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.serialization import MessageField, SerializationContext

from store import ORDERS, PATIENCE_SECONDS, PRODUCTS, Commands, fresh_id, now_ms

DEAD_LETTERS = "fashion-store-dead-letters"
UNKNOWN_SCHEMA = b"\x00" + (424242).to_bytes(4, "big")
YEAR_9999_MS = 253_402_214_400_000


class DeadLetters:
    """Reads the dead letters from where the topic ends now."""

    def __init__(self, brokers, admin):
        self._consumer = Consumer({"bootstrap.servers": brokers, "group.id": fresh_id("reader"), "isolation.level": "read_committed"})
        partitions = admin.list_topics(DEAD_LETTERS).topics[DEAD_LETTERS].partitions
        ends = [TopicPartition(DEAD_LETTERS, p, self._consumer.get_watermark_offsets(TopicPartition(DEAD_LETTERS, p))[1]) for p in partitions]
        self._consumer.assign(ends)

    def next(self):
        """(key, value, headers) of the next one."""
        message = self._consumer.poll(PATIENCE_SECONDS)
        assert message is not None, f"no dead letter within {PATIENCE_SECONDS} s"
        assert message.error() is None, message.error()
        return message.key(), message.value(), {name: value.decode() for name, value in message.headers()}

    def nothing_more(self):
        message = self._consumer.poll(0.5)
        assert message is None, (message.key(), message.headers())


@pytest.fixture
def dead_letters(brokers, admin):
    reader = DeadLetters(brokers, admin)
    yield reader
    reader._consumer.close()


def a_command(registry, order_id):
    """A well-formed CancelOrder, as Confluent's serializer writes it."""
    serialize = Commands.serializer(registry)
    cancel = {"command_id": fresh_id("command"), "order_id": order_id, "requested_by": "CUSTOMER", "reason": "", "requested_at": now_ms()}
    return serialize({"command": ("orderflow.fashion.CancelOrder", cancel)}, SerializationContext(ORDERS, MessageField.VALUE))


# What is wrong, the topic, key and value from a well-formed command for the order "order-x", and words of the reason.
CASES = [
    ("not Avro", ORDERS, b"order-x", lambda good: b'{"qty": 1}', "not Confluent-framed Avro"),
    ("Avro that ends early", ORDERS, b"order-x", lambda good: good[:-3], ""),
    ("bytes behind the Avro", ORDERS, b"order-x", lambda good: good + b"\x00", ""),
    ("an empty value", ORDERS, b"order-x", lambda good: b"", ""),
    ("an unknown schema id", ORDERS, b"order-x", lambda good: UNKNOWN_SCHEMA + good[5:], "424242"),
    ("another topic's schema", PRODUCTS, b"order-x", lambda good: good, ""),
    ("a null key", ORDERS, None, lambda good: good, "key"),
    ("a null value", ORDERS, b"order-x", lambda good: None, "value"),
    ("a key that is not the id", ORDERS, b"order-y", lambda good: good, "order-x"),
    ("a key that is not UTF-8", ORDERS, b"\xff\xfe", lambda good: good, ""),
]


@pytest.mark.parametrize(("topic", "key", "damage", "reason"), [pytest.param(*case, id=what) for what, *case in CASES])
def test_a_record_that_no_one_should_write(topic, key, damage, reason, commands, registry, dead_letters):
    client = commands("murmur2_random")
    value = damage(a_command(registry, "order-x"))
    client.send_raw(topic, key, value)
    client.flush()
    found_key, found_value, headers = dead_letters.next()
    assert (found_key, found_value) == (key, value), "the original bytes"
    assert headers["orderflow.error.topic"] == topic
    assert reason in headers["orderflow.error.reason"], headers
    assert {"orderflow.error.partition", "orderflow.error.offset", "orderflow.error.timestamp"} <= headers.keys()
    dead_letters.nothing_more()


def test_a_timestamp_in_year_9999(brokers, admin, registry, dead_letters):
    """The broker refuses it by its default limit; where an administrator has lifted that, we do."""
    value = a_command(registry, "order-x")
    refused = produce_at(YEAR_9999_MS, brokers, value)
    assert refused is not None and refused.code() == KafkaError.INVALID_TIMESTAMP, refused
    limit = "message.timestamp.after.max.ms"
    change_topic(admin, ORDERS, ConfigEntry(limit, str(2**63 - 1), incremental_operation=AlterConfigOpType.SET))
    try:
        assert produce_at(YEAR_9999_MS, brokers, value) is None
    finally:
        change_topic(admin, ORDERS, ConfigEntry(limit, None, incremental_operation=AlterConfigOpType.DELETE))
    key, found, headers = dead_letters.next()
    assert (key, found) == (b"order-x", value)
    assert "9999" in headers["orderflow.error.reason"] and headers["orderflow.error.timestamp"] == str(YEAR_9999_MS)
    dead_letters.nothing_more()


def produce_at(timestamp, brokers, value):
    """The broker's error for a record of that time, or None."""
    outcome = []
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random"})
    producer.produce(ORDERS, key=b"order-x", value=value, timestamp=timestamp, on_delivery=lambda error, _: outcome.append(error))
    assert producer.flush(PATIENCE_SECONDS) == 0
    return outcome[0]


def change_topic(admin, topic, entry):
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(PATIENCE_SECONDS)


def test_orders_behind_bad_records_are_handled(commands, events, web):
    """On every partition: as many orders as make it sure that each bad record above has some behind it."""
    client = commands("murmur2_random")
    product = fresh_id("product")
    client.register_product(product, stock=100)
    client.flush()
    web.wait_for(f"/products/{product}", lambda body: int(body["stock"]) == 100)
    orders = [fresh_id("order") for _ in range(20)]
    for order in orders:
        client.place_order(order, product)
    client.flush()
    events.wait_for("the deliveries", lambda: all(order in events.started for order in orders))
    partitions = {partition for (topic, _), partition in client.partitions.items() if topic == ORDERS}
    assert len(partitions) == 4, "twenty ids leave no partition out"
