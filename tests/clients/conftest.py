"""Fixtures for tests that talk to a running fashion store as strangers do: by Kafka's protocol and by HTTP.

They read from the environment where it is, and refuse to guess:

  ORDERFLOW_URL       base URL of the store, or of one of its instances
  ORDERFLOW_BROKERS   bootstrap address of the Kafka cluster it runs on, for the tests that need one
  PROVIDER_URL        base URL of its `orderflow payment-sim`, for the tests that set how it behaves
  REGISTRY_URL        Confluent-compatible base URL of the registry that the store uses, if it does not use its own ids
  KAFKA_JARS          folder of Kafka's own jars (`deploy/kafka/kafka.sh jars`), for the Java client

The parts of `./test` start everything and set them (tests/parts.sh).
"""

import os

import pytest
import requests
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import SchemaRegistryClient

from store import Commands, Events, Web


def _environment(name):
    value = os.environ.get(name)
    if not value:
        pytest.exit(f"{name} is not set; the parts of ./test start a store and set it", returncode=3)
    return value


@pytest.fixture(scope="session")
def brokers():
    return _environment("ORDERFLOW_BROKERS")


@pytest.fixture(scope="session")
def kafka_jars():
    return _environment("KAFKA_JARS")


@pytest.fixture(scope="session")
def admin(brokers):
    return AdminClient({"bootstrap.servers": brokers})


@pytest.fixture(scope="session")
def web():
    return Web(_environment("ORDERFLOW_URL"), os.environ.get("PROVIDER_URL", ""))


@pytest.fixture(scope="session")
def registry(web):
    """Confluent's own registry client, against the schemas that the node serves, or the registry that it was given."""
    return SchemaRegistryClient({"url": os.environ.get("REGISTRY_URL") or web.base + "/registry"})


@pytest.fixture
def commands(brokers, registry):
    """A function that makes a command producer with the partitioner it is given."""
    return lambda partitioner: Commands(brokers, registry, partitioner)


@pytest.fixture
def events(brokers, registry):
    """The store's delivery and cancellation events from the beginning, as a read-committed consumer sees them."""
    with_events = Events(brokers, registry)
    yield with_events
    with_events.close()
