#!/usr/bin/env python3
"""How the CPU of one W2 order grows with the size of things; started by `bench/growth`, which sets everything up.

Engine-only series run `bench-app engine-only` on RocksDB; the others are the harness's drain, on a real broker. Every point
is split into parts (stages of the worker, or threads and the broker), so that the page can say which part a bend comes from.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time

import page
from compare import machine
from limits import BENCH_APP, HERE, HOME

# A step of a curve is explained when it changes the cost by more than this share.
BEND = 0.15


def engine_only(name, *options):
    """One engine-only run on RocksDB: its report."""
    with tempfile.TemporaryDirectory(dir=HOME) as state_dir:
        command = [BENCH_APP, "engine-only", "--state-dir", state_dir, "--schema-ids", f"{HERE}/peer/schemas/schema-ids.json", *map(str, options)]
        run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{name}: engine-only failed: {run.stderr[-1000:]}")
    return json.loads(run.stdout)


def staged(x, report):
    """A point of the engine-only series: stages of the worker, and RocksDB's own threads."""
    parts = {name: ns / 1000 for name, ns in report["stages"].items()}
    parts["RocksDB's threads"] = max(0, report["process_cpu_ns_per_order"] - report["cpu_ns_per_order"]) / 1000
    return {"x": x, "us": report["process_cpu_ns_per_order"] / 1000, "parts": parts, "allocations": report["allocations_per_order"]}


def drain(args, x, partitions=4, workers=1, commit_ms=100):
    """A point of the series on Kafka: the harness's cold drain, checked by it."""
    # The harness has 4 partitions; its files stay as they are, so the number is set from outside.
    harness = "import bench, sys; bench.PARTITIONS = int(sys.argv.pop(1)); sys.exit(bench.main())"
    settings = {"topics.partitions": partitions, "engine.workers": workers, "engine.commit_interval_ms": commit_ms}
    with tempfile.TemporaryDirectory(dir=HOME) as results:
        command = [sys.executable, "-c", harness, str(partitions), "drain", "--app", f"{HERE}/apps/orderflow-w2.toml", "--orders", str(args.orders),
                   "--results", results, "--quiet-timeout", "5"]
        for setting in settings.items():
            command += ["--add=--set", "--add={}={}".format(*setting)]
        status = subprocess.run(command, env=dict(os.environ, PYTHONPATH=f"{HERE}/peer/harness")).returncode
        found = [json.load(open(os.path.join(results, f))) for f in os.listdir(results)]
    if status or len(found) != 1:
        raise RuntimeError(f"the drain with {settings} failed")
    r = found[0]
    parts = {thread: s / r["n"] * 1e6 for thread, s in r["threads_cpu_s"].items()}
    parts["broker"] = r["broker_cpu_us_per_input"]
    return {"x": x, "us": r["app_cpu_us_per_input"] + r["broker_cpu_us_per_input"], "parts": parts, "per_s": r["per_s_from_start"],
            "peak_rss_mb": r["memory"]["peak_rss_mb"]}


def kept(args):
    """One long run, looked at on the way; the stages are not timed in it, as no round is like another."""
    report = engine_only("kept", "--orders", args.keys_max)
    looks = {10 ** e for e in range(5, 8)} | {3 * 10 ** e for e in range(5, 7)}
    width = report["rounds"][1][0] if len(report["rounds"]) > 1 else args.keys_max
    # Five rounds around each look, as flushes and compactions come in lumps.
    points = []
    for look in sorted(n for n in looks if n <= args.keys_max):
        near = [ns for before, ns in report["rounds"] if abs(before + width - look) <= max(2 * width, look // 10)]
        points.append({"x": look, "us": sum(near) / len(near) / 1000, "parts": {}})
    return points


def products(args):
    return [staged(n, engine_only("products", "--products", n, "--orders", args.orders, "--stages"))
            for n in (1_000, 10_000, 100_000, 1_000_000, 10_000_000) if n <= args.keys_max]


def partitions(args):
    return [staged(n, engine_only("partitions", "--partitions", n, "--orders", args.orders, "--stages")) for n in (1, 4, 16, 32)]


def values(args):
    # An order of W2 is about 100 bytes without padding.
    return [staged(100 + n, engine_only("values", "--padding-bytes", n, "--orders", args.orders // 4, "--round", args.orders // 4, "--stages"))
            for n in (0, 200, 900, 2_900, 9_900)]


SERIES = {
    "kept": ("Orders kept, engine only", "orders in the store", kept),
    "products": ("Products, one at random per order, engine only", "products in the store", products),
    "partitions": ("Partitions, engine only", "partitions of each topic", partitions),
    "values": ("Value size, engine only", "bytes of an order", values),
    "kafka-partitions": ("Partitions, on Kafka", "partitions of each topic", lambda a: [drain(a, n, partitions=n) for n in (1, 4, 16, 32)]),
    "workers": ("Workers, on Kafka", "workers", lambda a: [drain(a, n, workers=n) for n in (1, 2)]),
    "commit": ("Commit interval, on Kafka", "milliseconds", lambda a: [drain(a, n, commit_ms=n) for n in (10, 30, 100, 300, 1000)]),
}


def bends(points):
    """A sentence for every step that changes the cost by more than `BEND`: which part changed most."""
    for a, b in zip(points, points[1:]):
        change = b["us"] - a["us"]
        if abs(change) <= BEND * a["us"]:
            continue
        text = f"{page.number(a['x'])} → {page.number(b['x'])}: {change:+.1f} µs"
        names = set(a["parts"]) | set(b["parts"])
        if names:
            part = max(names, key=lambda n: (b["parts"].get(n, 0) - a["parts"].get(n, 0)) * math.copysign(1, change))
            text += f", most of it {part} ({b['parts'].get(part, 0) - a['parts'].get(part, 0):+.1f} µs)"
        yield text


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--quick", action="store_true", help="up to 1,000,000 keys, 60,000 orders per point")
    p.add_argument("--only", default=",".join(SERIES), help="which series; default all: %(default)s")
    p.add_argument("--orders", type=int, help="orders per point (200,000; with --quick 60,000)")
    p.add_argument("--keys-max", type=int, help="most keys (10,000,000; with --quick 1,000,000)")
    p.add_argument("--results", help="folder for results, added to if it is there (default: a new one under $PEER_HOME/growth)")
    args = p.parse_args()
    args.orders = args.orders or (60_000 if args.quick else 200_000)
    args.keys_max = args.keys_max or (1_000_000 if args.quick else 10_000_000)
    results = args.results or os.path.join(HOME, "growth", time.strftime("%m%d-%H%M%S"))
    os.makedirs(results, exist_ok=True)
    names = args.only.split(",")
    if {"kafka-partitions", "workers", "commit"} & set(names):
        # The broker's own just-in-time compiler costs it seconds of its first run.
        drain(args, 0)
    for name in names:
        title, x_label, measure = SERIES[name]
        points = measure(args)
        series = {"title": title, "x": x_label, "machine": machine(), "orders": args.orders, "points": points, "bends": list(bends(points))}
        with open(os.path.join(results, f"growth-{name}.json"), "w") as f:
            json.dump(series, f, indent=1, ensure_ascii=False)
        print(f"{title}: " + ", ".join(f"{page.number(p['x'])}: {p['us']:.1f} µs" for p in points))
        for text in series["bends"]:
            print(f"    {text}")
    files = (os.path.join(results, f"growth-{name}.json") for name in SERIES)
    series = [json.load(open(f)) for f in files if os.path.exists(f)]
    with open(os.path.join(results, "growth.html"), "w") as f:
        f.write(page.render_growth(series))
    print(f"growth-*.json and growth.html are in {results}")


if __name__ == "__main__":
    main()
