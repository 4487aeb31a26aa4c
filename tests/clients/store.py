"""What a client of the fashion store needs: sending commands, reading events, asking over HTTP.

Nothing here knows Orderflow's code. The Avro schemas come from the registry interface, and the serializers are
Confluent's, so that a difference in framing, subject naming or schema is a failing test.
"""

import time
import uuid
from contextlib import contextmanager

import requests
from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

PRODUCTS = "fashion.products"
ORDERS = "fashion.orders"
DELIVERIES = "fashion.deliveries"
CANCELLATIONS = "fashion.cancellations"

# Longer than any answer takes on a busy two-core machine, the first join of a consumer group included.
PATIENCE_SECONDS = 60


def fresh_id(kind):
    return f"{kind}-{uuid.uuid4().hex[:12]}"


def now_ms():
    return int(time.time() * 1000)


class Commands:
    """Writes commands: an envelope record with a union, keyed by the aggregate's id."""

    def __init__(self, brokers, registry, partitioner):
        self._producer = Producer(
            {"bootstrap.servers": brokers, "partitioner": partitioner, "enable.idempotence": True}
        )
        self.partitions = {}
        self._failures = []
        self._serialize = self.serializer(registry)

    @staticmethod
    def serializer(registry):
        """The schema is whatever the registry calls the latest: none of ours is read here."""
        return AvroSerializer(registry, conf={"auto.register.schemas": False, "use.latest.version": True})

    def register_product(self, product_id, stock, price=100, name="a shirt"):
        self._send(PRODUCTS, product_id, "RegisterProduct", product_id=product_id, name=name, price=price, stock=stock)

    def place_order(self, order_id, product_id, qty=1, price=100, command_id=None):
        self._send(
            ORDERS, order_id, "PlaceOrder", command_id=command_id, order_id=order_id, customer_id="customer-1",
            product_id=product_id, size="M", qty=qty, price=price, placed_at=now_ms(),
        )  # fmt: skip

    def cancel_order(self, order_id, command_id=None):
        self._send(
            ORDERS, order_id, "CancelOrder", command_id=command_id, order_id=order_id, requested_by="CUSTOMER",
            reason="changed my mind", requested_at=now_ms(),
        )  # fmt: skip

    def send_raw(self, topic, key, value):
        """Bytes as they are, for what no honest client would send."""
        self._producer.produce(topic, key=key, value=value, on_delivery=self._delivered)

    def flush(self):
        """Waits until everything sent is acknowledged; fails if anything was not."""
        left = self._producer.flush(PATIENCE_SECONDS)
        assert left == 0, f"{left} records were not acknowledged within {PATIENCE_SECONDS} s"
        assert not self._failures, self._failures

    def _send(self, topic, key, record, command_id=None, **fields):
        fields["command_id"] = command_id or fresh_id("command")
        # A union's branch is named by its record; the envelope's only field is "command".
        value = {"command": (f"orderflow.fashion.{record}", fields)}
        data = self._serialize(value, SerializationContext(topic, MessageField.VALUE))
        self._producer.produce(topic, key=key.encode(), value=data, on_delivery=self._delivered)
        self._producer.poll(0)

    def _delivered(self, error, message):
        if error:
            self._failures.append(error)
        elif message.key() is not None:
            self.partitions[(message.topic(), message.key().decode(errors="replace"))] = message.partition()


class Events:
    """Reads what the store says happened, and keeps it by order id."""

    def __init__(self, brokers, registry):
        self.started = {}
        self.recalled = {}
        self.cancelled = {}
        self.partitions = {}
        # return_record_name keeps the name of a union's branch, which tells the events of one topic apart.
        self._deserialize = AvroDeserializer(registry, return_record_name=True)
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": fresh_id("reader"),
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        self._consumer.subscribe([DELIVERIES, CANCELLATIONS])

    def wait_for(self, what, satisfied):
        """Reads until `satisfied()`; fails with what was read when that takes too long."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not satisfied():
            assert time.monotonic() < deadline, (
                f"{what}: not seen within {PATIENCE_SECONDS} s; read {len(self.started)} deliveries started, "
                f"{len(self.recalled)} called back, {len(self.cancelled)} orders cancelled"
            )
            self._read(0.2)

    def read_on(self, seconds):
        """Reads whatever else comes in so many seconds: the only way to see that something does not come."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read(0.2)

    def close(self):
        self._consumer.close()

    def _read(self, timeout):
        message = self._consumer.poll(timeout)
        if message is None:
            return
        assert message.error() is None, message.error()
        value = self._deserialize(message.value(), SerializationContext(message.topic(), MessageField.VALUE))
        if message.topic() == CANCELLATIONS:
            kept, event = self.cancelled, value
        else:
            name, event = value["event"]
            kept = {"DeliveryStarted": self.started, "DeliveryCancelled": self.recalled}[name.rsplit(".", 1)[-1]]
        assert message.key().decode() == event["order_id"], "an event's key is its order id"
        kept.setdefault(event["order_id"], []).append(event)
        self.partitions[message.key()] = message.partition()


class Web:
    """The store's HTTP side, as far as these tests ask it."""

    def __init__(self, base, provider=""):
        self.base = base.rstrip("/")
        self._provider = provider
        self._session = requests.Session()

    def get(self, path):
        return self._session.get(self.base + path, timeout=10)

    def post(self, path, body, **headers):
        return self._session.post(self.base + path, json=body, headers=headers, timeout=30)

    def patch(self, path, body, **headers):
        return self._session.patch(self.base + path, json=body, headers=headers, timeout=30)

    def delete(self, path):
        return self._session.delete(self.base + path, timeout=30)

    @contextmanager
    def payments(self, **settings):
        """Has the payment provider behave so inside a `with`, and as before after it."""
        url = self._provider + "/settings"
        before = self._session.get(url, timeout=10).json()
        self._session.put(url, json=settings, timeout=10).raise_for_status()
        try:
            yield
        finally:
            self._session.put(url, json=before, timeout=10).raise_for_status()

    def wait_for(self, path, satisfied):
        """The JSON at `path` once `satisfied(json)`; a 404 counts as not yet."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.get(path)
            if answer.status_code == 200 and satisfied(answer.json()):
                return answer.json()
            assert answer.status_code in (200, 404, 503), f"GET {path}: {answer.status_code} {answer.text}"
            assert time.monotonic() < deadline, (
                f"GET {path} did not become what it should within {PATIENCE_SECONDS} s: {answer.status_code} {answer.text}"
            )
            time.sleep(0.05)
