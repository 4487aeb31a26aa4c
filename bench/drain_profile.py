#!/usr/bin/env python3
"""Where the CPU of an order goes in a cold drain of W2, by perf's samples of the whole process; started by `bench/profile`.

A sample belongs to the innermost frame that one of the patterns knows: what a store read allocates is part of the store read.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter

import page
from compare import machine
from limits import HERE, HOME

# Samples per second of CPU.
FREQUENCY = 499
# Bytes of stack that go with each sample, to find its callers by.
STACK_BYTES = 16_384

# By thread name: the first that matches. Worker threads are divided further.
THREADS = [
    ("worker", r"^worker"),
    ("librdkafka: brokers", r"^rdk:broker"),
    ("librdkafka: main", r"^rdk:"),
    # Names are cut after 15 bytes: which of the producer's two it is cannot be told.
    ("producers: delivery reports, transaction calls", r"^orderflow-w2-"),
    ("RocksDB's threads", r"^rocksdb:"),
    ("HTTP (the harness's checks)", r"^http"),
]
# By function, innermost first: the first that matches names the stage.
STAGES = [
    ("page faults", r"exc_page_fault"),
    ("fetch", r"rd_kafka_consume|GroupConsumer|native::.*read_message"),
    ("decode", r"deserialize|::decode\b|schemas::.*Reader"),
    ("encode", r"\bserialize|::encode\b"),
    ("produce", r"rd_kafka_produce|TransactionalProducer.*::send"),
    ("store write", r"Backend.*::write\b|rocksdb_write\b|DBImpl::Write"),
    ("store read", r"Backend.*::get\b|rocksdb_get|DBImpl::Get"),
    ("commit", r"TransactionalProducer.*::commit|KafkaLog.*::commit"),
    ("overlay", r"state::overlay"),
]


def record(orders, results):
    """Runs the harness's drain of our application under perf; answers with perf's file."""
    with open(f"{HERE}/apps/orderflow-w2.toml") as f:
        text = f.read()
    data, app = os.path.join(results, "perf.data"), os.path.join(results, "profiled.toml")
    perf = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(FREQUENCY), "--call-graph", f"dwarf,{STACK_BYTES}", "-o", data, "--"]
    with open(app, "w") as f:
        f.write(text.replace('command = [', "command = [" + ", ".join(json.dumps(a) for a in perf) + ", ", 1))
    command = [sys.executable, f"{HERE}/peer/harness/bench.py", "drain", "--app", app, "--orders", str(orders), "--results", results, "--quiet-timeout", "10"]
    if subprocess.run(command).returncode:
        raise RuntimeError("the drain failed")
    return data


def stacks(data):
    """(thread, functions from the innermost out) of every sample."""
    script = ["perf", "script", "-i", data, "--no-inline", "-F", "comm,ip,sym"]
    perf = subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace")
    thread, functions = None, []
    for line in perf.stdout:
        if not line.strip():
            if thread is not None:
                yield thread, functions
            thread, functions = None, []
        elif not line.startswith((" ", "\t")) and thread is None:
            thread = line.strip()
        else:
            functions.append(line.strip().partition(" ")[2])
    if thread is not None:
        yield thread, functions
    if perf.wait():
        raise RuntimeError("perf script failed")


def part_of(thread, functions):
    """The row of the table that a sample belongs to."""
    name = next((name for name, pattern in THREADS if re.search(pattern, thread)), "start and everything else")
    if name != "worker":
        return name
    for function in functions:
        for stage, pattern in STAGES:
            if re.search(pattern, function):
                return f"worker: {stage}"
    return "worker: engine (loop, tasks, processors)"


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--orders", type=int, default=100_000)
    p.add_argument("--before", help="profile.json of an earlier run, to be shown beside")
    p.add_argument("--results", help="folder for results (default: a new one under $PEER_HOME/profile)")
    args = p.parse_args()
    results = args.results or os.path.join(HOME, "profile", time.strftime("%m%d-%H%M%S"))
    os.makedirs(results, exist_ok=True)
    samples = Counter(part_of(*sample) for sample in stacks(record(args.orders, results)))
    parts = {name: count / FREQUENCY / args.orders * 1e6 for name, count in samples.most_common()}
    profile = {"machine": machine(), "orders": args.orders, "samples": sum(samples.values()), "us_per_order": parts}
    with open(os.path.join(results, "profile.json"), "w") as f:
        json.dump(profile, f, indent=1, ensure_ascii=False)
    before = json.load(open(args.before))["us_per_order"] if args.before else {}
    print(f"{'CPU per order, µs':48}{'before' if before else '':>10}{'now':>10}")
    for name in sorted(set(parts) | set(before), key=lambda n: -parts.get(n, 0)):
        earlier = page.number(before.get(name, 0)) if before else ""
        print(f"{name:48}{earlier:>10}{page.number(parts.get(name, 0)):>10}")
    print(f"{'all':48}{page.number(sum(before.values())) if before else '':>10}{page.number(sum(parts.values())):>10}")
    print(f"profile.json is in {results}; {sum(samples.values())} samples")


if __name__ == "__main__":
    main()
