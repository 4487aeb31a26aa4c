#!/usr/bin/env python3
"""Golden bytes: what Confluent's own AvroSerializer for Python makes of our schemas.

    python3 -m venv ~/.cache/orderflow/avro-venv
    ~/.cache/orderflow/avro-venv/bin/pip install 'confluent-kafka[avro,schemaregistry]==2.16.0'
    ~/.cache/orderflow/avro-venv/bin/python schemas/tests/golden/make.py

Writes one JSON file per record beside this script: the value (as our records' serde form has it) and the framed bytes
in hex. Run it again only when a record changes or a case is added; `tests/golden.rs` compares.
The values are generated from the schema, seeded by the record's name: every enum symbol, every union branch, empty and
non-ASCII strings, the edges of the number types. The registry is the client library's in-process mock.
"""

import json
import random
from pathlib import Path

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

HERE = Path(__file__).parent
AVRO = HERE.parent.parent / "avro"
CASES = 12
STRINGS = ["", "a", "order-17", "서울역", "x" * 64, "é\u0000\"\\"]
EDGES = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}


class Generator:
    """One value per call; `wire` is what the serializer takes, `ours` what our serde form shows."""

    def __init__(self, name):
        self.random = random.Random(name)
        self.named = {}

    def value(self, schema, namespace=None):
        if isinstance(schema, list):
            branch = self.random.choice(schema)
            wire, ours = self.value(branch, namespace)
            optional = len(schema) == 2 and "null" in schema
            if optional or branch == "null":
                return wire, ours
            full = f'{branch.get("namespace", namespace)}.{branch["name"]}'
            return (full, wire), {branch["name"]: ours}
        if isinstance(schema, str) and ("." in schema or schema in self.named):
            return self.value(self.named[schema.split(".")[-1]], namespace)
        kind = schema if isinstance(schema, str) else schema["type"]
        if isinstance(schema, dict):
            namespace = schema.get("namespace", namespace)
            if "name" in schema:
                self.named[schema["name"]] = schema
        if kind == "record":
            pairs = [(f["name"], self.value(f["type"], namespace)) for f in schema["fields"]]
            return {n: v[0] for n, v in pairs}, {n: v[1] for n, v in pairs}
        if kind == "array":
            items = [self.value(schema["items"], namespace) for _ in range(self.random.randrange(4))]
            return [i[0] for i in items], [i[1] for i in items]
        if kind == "enum":
            plain = self.random.choice(schema["symbols"])
        elif kind == "string":
            plain = self.random.choice(STRINGS)
        elif kind in EDGES:
            low, high = EDGES[kind]
            plain = self.random.choice([low, high, 0, -1, 63, 64, 50_000, self.random.randrange(low, high)])
        elif kind == "boolean":
            plain = self.random.random() < 0.5
        elif kind == "null":
            plain = None
        else:
            raise NotImplementedError(kind)
        return plain, plain


def main():
    # Public and internal records, not history, and not state, which only we read.
    for path in sorted(AVRO.glob("[!h]*/*.avsc")):
        text = path.read_text()
        schema = json.loads(text)
        # Logical types would make the library want datetime values; the bytes are those of the plain long.
        plain = json.loads(text, object_hook=lambda o: {k: v for k, v in o.items() if k != "logicalType"})
        client = SchemaRegistryClient.new_client({"url": "mock://golden-" + schema["name"]})
        serializer = AvroSerializer(client, json.dumps(plain))
        generator = Generator(schema["name"])
        cases = []
        for _ in range(CASES):
            wire, ours = generator.value(plain)
            framed = serializer(wire, SerializationContext("golden", MessageField.VALUE))
            cases.append({"value": ours, "framed": framed.hex()})
        full = f'{schema["namespace"]}.{schema["name"]}'
        lines = ",\n".join("    " + json.dumps(case, ensure_ascii=False) for case in cases)
        head = f'{{\n  "record": "{full}",\n  "made_by": "confluent-kafka AvroSerializer",\n  "cases": [\n'
        (HERE / f"{full}.json").write_text(f"{head}{lines}\n  ]\n}}\n")


if __name__ == "__main__":
    main()
