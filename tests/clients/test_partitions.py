"""A key is on the partition where Kafka's own Java client would have put it, so that a Java producer, consumer or
Kafka Streams application can stand beside Orderflow on the same topics."""

import subprocess
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from store import CANCELLATIONS, DELIVERIES, ORDERS, PATIENCE_SECONDS, fresh_id

# What the node's own producers write: by the gateway (orders), and by every sub-topology.
WRITTEN_BY_THE_NODE = ["fashion.stock-requests", "fashion.stock-results", "fashion.order-status", DELIVERIES, CANCELLATIONS]

# Lengths around murmur2's four-byte words, and bytes above 127, which a signed-char slip would get wrong.
PRODUCTS = ["p", "pr", "pro", "prod", "produ", "상품-1", "상품-22", "naïve", "\U0001f457", "x" * 100]


def java_partitions(jars, brokers, topic, keys):
    program = Path(__file__).with_name("Partitions.java")
    answer = subprocess.run(
        ["java", "-cp", f"{jars}/*", str(program), brokers, topic],
        input="".join(key + "\n" for key in keys), capture_output=True, encoding="utf-8", timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return [int(line) for line in answer.stdout.split()]


def partition_count(admin, topic):
    return len(admin.list_topics(topic).topics[topic].partitions)


def keys_on(admin, brokers, topic):
    """Every key of a topic with its partition, read to the end by offsets."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": fresh_id("reader"), "enable.partition.eof": True})
    partitions = [TopicPartition(topic, partition, 0) for partition in range(partition_count(admin, topic))]
    consumer.assign(partitions)
    found, ended = {}, set()
    while len(ended) < len(partitions):
        message = consumer.poll(PATIENCE_SECONDS)
        assert message is not None, f"{topic}: no end within {PATIENCE_SECONDS} s"
        if message.error():
            ended.add(message.partition())
        elif message.key() is not None:
            found.setdefault(message.key().decode(), set()).add(message.partition())
    consumer.close()
    return found


@pytest.fixture(scope="module")
def scratch_topics(admin):
    """A topic per partition count, for Java to write to; deleted at the end."""
    made = {}

    def topic_with(count):
        if count not in made:
            name = fresh_id("java-partitions")
            admin.create_topics([NewTopic(name, count, 1)])[name].result(PATIENCE_SECONDS)
            made[count] = name
        return made[count]

    yield topic_with
    if made:
        for deleted in admin.delete_topics(list(made.values())).values():
            deleted.result(PATIENCE_SECONDS)


def test_every_key_is_where_javas_producer_would_put_it(commands, events, web, admin, brokers, kafka_jars, scratch_topics):
    client = commands("murmur2_random")
    products = [fresh_id(name) for name in PRODUCTS] + PRODUCTS
    for product in products:
        client.register_product(product, stock=1000)
    client.flush()
    for product in products:
        web.wait_for(f"/products/{product}", lambda body: True)
    by_gateway = [web.post("/orders", {"productId": product, "size": "S", "qty": 1, "price": 100}) for product in products]
    assert {answer.status_code for answer in by_gateway} == {201}
    orders = [answer.headers["Location"].rsplit("/", 1)[-1] for answer in by_gateway]
    events.wait_for("the deliveries", lambda: all(order in events.started for order in orders))

    # The gateway's own commands: those keys only, since CRC32 clients of other tests wrote to this topic as well.
    written = {(ORDERS, key): found for key, found in keys_on(admin, brokers, ORDERS).items() if key in orders}
    assert len(written) == len(orders)
    for topic in WRITTEN_BY_THE_NODE:
        found = keys_on(admin, brokers, topic)
        assert found or topic == CANCELLATIONS, f"nothing was written to {topic}"
        written.update({(topic, key): partitions for key, partitions in found.items()})

    by_count = {}
    for topic, key in written:
        by_count.setdefault(partition_count(admin, topic), []).append((topic, key))
    for count, wanted in by_count.items():
        chosen = java_partitions(kafka_jars, brokers, scratch_topics(count), [key for _, key in wanted])
        differing = [(where, written[where], java) for where, java in zip(wanted, chosen, strict=True) if written[where] != {java}]
        assert not differing, f"{len(differing)} of {len(wanted)} keys elsewhere than Java puts them: {differing[:10]}"
