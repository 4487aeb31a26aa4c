#!/usr/bin/env python3
"""Runs the harness for Kafka Streams and Orderflow in turn and compares what it measured.

Started by `bench/compare`, which sets everything up. Nothing is measured here: every figure is one of the harness's.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import limits
import page

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = limits.HOME
# TUNED is the peer at the commit interval that gave it its best latencies (10, 20 and 100 ms were tried); both others have 100 ms.
PEER, TUNED, OURS, LIMIT = "Kafka Streams", "Kafka Streams at 10 ms", "Orderflow", "limit"
APPS = {
    "w1": {PEER: "peer/apps/ks-w1-eos.toml", OURS: "apps/orderflow-w1.toml"},
    "w2": {PEER: "peer/apps/ks-w2-eos.toml", TUNED: "peer/apps/ks-w2-eos-c10.toml", OURS: "apps/orderflow-w2.toml"},
}
STEPS = {"w1": "drain,warm", "w2": "drain,warm,iq:32,latency:500,latency:2000,restore,crash:2000"}

# What is compared: (step, what, path in the result, more is better, goal as a ratio).
LATENCIES = [(f"latency:{rate}", f"place → outcome {q}, ms", f"latency_ms.{q}", False) for rate in (500, 2000) for q in ("p50", "p99")]
FIGURES = [
    ("drain", "app CPU per input, µs", "app_cpu_us_per_input", False, 4.0),
    ("drain", "broker CPU per input, µs", "broker_cpu_us_per_input", False, 1.0),
    ("drain", "inputs per second from process start", "per_s_from_start", True, 3.0),
    ("drain", "process start to first outcome, s", "start_to_first_s", False, 4.0),
    ("drain", "process start to last outcome, s", "start_to_done_s", False, 3.0),
    ("drain", "peak RSS, MB", "memory.peak_rss_mb", False, 8.0),
    ("warm", "app CPU per input, µs", "app_cpu_us_per_input", False, 2.5),
    ("warm", "broker CPU per input, µs", "broker_cpu_us_per_input", False, 1.0),
    ("warm", "inputs per second", "per_s_from_start", True, None),
    ("warm", "peak RSS, MB", "memory.peak_rss_mb", False, 8.0),
    *((*latency, 5.0) for latency in LATENCIES),
    ("restore", "disk lost: all probes answered, s", "all_probes_s", False, 4.0),
    ("crash:2000", "kill -9: first new outcome, s", "first_probe_s", False, 5.0),
    ("crash:2000", "kill -9: longest silence, s", "longest_silence_s", False, None),
    ("crash:2000", "kill -9: caught up, s", "restart_to_caught_up_s", False, None),
    ("iq:32", "reads per second", "requests_per_s", True, None),
    ("iq:32", "app CPU per read, µs", "app_cpu_us_per_request", False, None),
]
# Ours as a share of the machine's limit: (step, what, path in our result, step of the limit, path there, more is better, goal as a share).
SHARES = [
    ("drain", "orders per second from process start", "per_s_from_start", "raw copy", "orders_per_s", True, 0.8),
    ("drain", "app CPU per order, µs", "app_cpu_us_per_input", "raw copy", "app_cpu_us_per_order", False, None),
    ("drain", "app CPU per order, µs", "app_cpu_us_per_input", "raw copy and store", "app_cpu_us_per_order", False, None),
    ("drain", "broker CPU per order, µs", "broker_cpu_us_per_input", "raw copy", "broker_cpu_us_per_order", False, None),
    ("iq:32", "reads per second", "requests_per_s", "hello", "requests_per_s", True, None),
    ("iq:32", "app CPU per read, µs", "app_cpu_us_per_request", "hello", "app_cpu_us_per_request", False, 0.6),
    ("iq:32", "app CPU per read, µs", "app_cpu_us_per_request", "hello, served alike", "app_cpu_us_per_request", False, None),
]


def pick(result, path):
    """A member of nested objects, or None."""
    for part in path.split("."):
        result = result.get(part) if isinstance(result, dict) else None
    return result if isinstance(result, (int, float)) else None


def correct(result):
    """What the harness says of a run."""
    return result.get("ok", result.get("check", {}).get("ok", True))


def harness(app, steps, args, label, results, sizes):
    """One session of the harness; returns its exit status and its results."""
    before = set(os.listdir(results))
    command = [sys.executable, f"{HERE}/peer/harness/bench.py", "suite", "--app", f"{HERE}/{app}", "--steps", steps,
               "--label", label, "--results", results, "--quiet-timeout", str(args.quiet_timeout), *sizes]
    if args.priority is not None:
        command += ["--priority", str(args.priority)]
    status = subprocess.run(command).returncode
    new = sorted(set(os.listdir(results)) - before)
    return status, [json.load(open(os.path.join(results, f))) for f in new if f.endswith(".json")]


def spread(runs, side, workload, step, path):
    """Median and range of a figure over the rounds; None when no run has it."""
    found = (pick(r, path) for r in runs if (r["side"], r["workload"], r["step"]) == (side, workload, step))
    values = [v for v in found if v is not None]
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values)} if values else None


def row(workload, step, what, against, more, goal, theirs, ours):
    """One line of the table: how many times better ours is than what it is held against."""
    below, above = (theirs["median"], ours["median"]) if more else (ours["median"], theirs["median"])
    ratio = above / below if below else None
    return {"workload": workload, "step": step, "what": what, "against": against, "theirs": theirs, "ours": ours, "ratio": ratio, "goal": goal,
            "reached": None if goal is None or ratio is None else ratio >= goal}


def summarise(runs):
    """Medians, spreads and ratios: one row per figure that both sides have."""
    wanted = [(w, step, what, PEER, step, path, path, more, goal) for w in APPS for step, what, path, more, goal in FIGURES]
    # Below the peer at its own best commit interval.
    wanted += [("w2", step, what, TUNED, step, path, path, more, 1.0) for step, what, path, more in LATENCIES]
    wanted += [("w2", step, what, LIMIT, at, path, their_path, more, goal) for step, what, path, at, their_path, more, goal in SHARES]
    rows = []
    for workload, step, what, side, at, path, their_path, more, goal in wanted:
        theirs, ours = spread(runs, side, workload, at, their_path), spread(runs, OURS, workload, step, path)
        if theirs and ours:
            rows.append(row(workload, step, what, at if side == LIMIT else side, more, goal, theirs, ours))
    return rows


def show(rows):
    """The table: medians with their range, and how many times better than what stands in the column before."""
    print(f"\n{'':4}{'step':14}{'figure':40}{'against':24}{'':>28}{OURS:>28}{'ratio':>8}  goal")
    for r in rows:
        cells = [f"{page.number(s['median'])} [{page.number(s['min'])} .. {page.number(s['max'])}]" for s in (r["theirs"], r["ours"])]
        goal = "" if r["goal"] is None else f">= {r['goal']:g} {'reached' if r['reached'] else 'NOT reached'}"
        ratio = "-" if r["ratio"] is None else f"{r['ratio']:.2f}"
        print(f"{r['workload']:4}{r['step']:14}{r['what']:40}{r['against']:24}{cells[0]:>28}{cells[1]:>28}{ratio:>8}  {goal}")


def measure_limits(ours, results, label):
    """The machine's limits, on the topics that our side of this round has left."""
    drained = [r for r in ours if r.get("changelog_offsets")]
    done = []
    if drained:
        orders = max(r["check"]["counts"]["orders"] for r in ours if "check" in r)
        changelogs = list(drained[-1]["changelog_offsets"])
        for stored in (False, True):
            with tempfile.TemporaryDirectory(dir=HOME) as state_dir:
                done.append(limits.raw_copy(orders, drained[0]["n"], changelogs, state_dir if stored else None))
    if any(r["step"].startswith("iq") for r in ours):
        done += [limits.hello(), limits.hello(alike=True)]
    for result in done:
        with open(os.path.join(results, f"limit-{label}-{result['step'].replace(',', '').replace(' ', '-')}.json"), "w") as f:
            json.dump(result, f, indent=1)
    return [dict(r, side=LIMIT, workload="w2") for r in done]


def machine():
    """What the figures are of."""
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo") as f:
        memory = round(int(f.readline().split()[1]) / 1024 / 1024, 1)
    return {"cpu": model, "cores": os.cpu_count(), "memory_gb": memory, "kernel": platform.release(), "at": time.strftime("%Y-%m-%dT%H:%M:%S")}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--quick", action="store_true", help="one pair of W2 drain + warm with 100,000 orders")
    p.add_argument("--rounds", type=int, help="pairs per workload (5; with --quick 1)")
    p.add_argument("--orders", type=int, help="orders of W2 (300,000; with --quick 100,000)")
    p.add_argument("--records", type=int, default=1_000_000, help="records of W1")
    p.add_argument("--workloads", default=None, help="w1,w2 (with --quick w2)")
    p.add_argument("--steps", help="steps of W2 instead of all")
    p.add_argument("--results", help="folder for results (default: a new one under $PEER_HOME/compare)")
    p.add_argument("--quiet-timeout", type=float, default=60, help="longest wait for other processes to rest, seconds")
    p.add_argument("--priority", type=int, help="as the harness's --priority")
    p.add_argument("--no-warm-up", action="store_true", help="skip the discarded run that warms the broker up")
    args = p.parse_args()
    rounds = args.rounds or (1 if args.quick else 5)
    orders = args.orders or (100_000 if args.quick else 300_000)
    workloads = (args.workloads or ("w2" if args.quick else "w2,w1")).split(",")
    steps = dict(STEPS, w2=args.steps or ("drain,warm" if args.quick else STEPS["w2"]))
    results = args.results or os.path.join(HOME, "compare", time.strftime("%m%d-%H%M%S"))
    os.makedirs(results, exist_ok=True)
    sizes = {"w1": ["--records", str(args.records)], "w2": ["--orders", str(orders)]}

    failures, runs = 0, []
    if not args.no_warm_up:
        # The broker's own just-in-time compiler costs it seconds of its first run, whoever comes first.
        trash = os.path.join(results, "warm-up")
        os.makedirs(trash, exist_ok=True)
        harness(APPS["w2"][PEER], "drain", args, "warm-up", trash, ["--orders", "20000"])
    for workload in workloads:
        for number in range(1, rounds + 1):
            # A B A B: both see the same minutes of a shared machine.
            for side, app in APPS[workload].items():
                mine = [s for s in steps[workload].split(",") if side != TUNED or s.startswith("latency")]
                if not mine:
                    continue
                status, new = harness(app, ",".join(mine), args, f"round{number}", results, sizes[workload])
                failures += status != 0 or not all(correct(r) for r in new)
                runs += [dict(r, side=side) for r in new]
            if workload == "w2":
                runs += measure_limits([r for r in new if correct(r)], results, f"round{number}")
    rows = summarise(runs)
    summary = {"machine": machine(), "orders": orders, "records": args.records, "rounds": rounds, "correct": failures == 0, "figures": rows}
    with open(os.path.join(results, "summary.json"), "w") as f:
        json.dump(summary, f, indent=1, ensure_ascii=False)
    with open(os.path.join(results, "report.html"), "w") as f:
        f.write(page.render(summary, runs, (PEER, OURS, TUNED)))
    show(rows)
    print(f"\nsummary.json and report.html are in {results}")
    if failures or not rows:
        print(f"INCORRECT: {failures} sessions failed a check or did not finish; no ratio of this run counts")
        return 1
    ratios = (f"{r['workload']} {r['step']} {r['what']} {r['ratio']:.2f}x" 
              for r in rows if r["against"] == PEER and r["ratio"] is not None and (r["goal"] or 0) > 1)
    print("correct; Orderflow against Kafka Streams: " + "; ".join(ratios))
    return 0


if __name__ == "__main__":
    sys.exit(main())
