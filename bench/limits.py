"""What no engine on this machine can do better: a raw copy of the records that W2 wrote, and an axum service that says hello."""
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/peer/harness")
from bench import HOME, W2_ROLES, proc_cpu  # noqa: E402  (the harness's own reading of /proc and names of topics)

# Where bench/compare links it.
BENCH_APP = f"{HOME}/bench-app"
BOOTSTRAP = "127.0.0.1:29092"
# With the prefix of our application, so that the harness deletes the copies before its next run.
COPIES = "orderflow-w2-copy-"
HELLO_PORT = 19681


def broker_cpu():
    """CPU seconds of the bench broker so far."""
    with open(f"{HOME}/broker/pid") as f:
        return proc_cpu(int(f.read()))


def raw_copy(orders, drained, changelogs, state_dir=None):
    """Copies all that W2 wrote for so many orders; with `state_dir` the changelogs go to RocksDB as well.

    Its rate is that of as many orders as the drain had: starting takes as long, copying less by their share.
    """
    topics = [t for role, t in W2_ROLES.items() if role not in ("orders", "products")] + list(changelogs)
    command = [BENCH_APP, "raw-copy", "--bootstrap", BOOTSTRAP, "--topics", ",".join(topics), "--prefix", COPIES]
    if state_dir:
        command += ["--state-dir", state_dir]
    before, start = broker_cpu(), time.monotonic()
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    wall, broker = time.monotonic() - start, broker_cpu() - before
    if run.returncode:
        raise RuntimeError(f"raw-copy failed: {run.stderr[-1000:]}")
    copied = json.loads(run.stdout)
    wall -= copied["copying_s"] * (1 - drained / orders)
    return {"step": "raw copy and store" if state_dir else "raw copy", "orders": orders, **copied,
            "records_per_order": copied["records"] / orders, "orders_per_s": drained / wall, "app_cpu_us_per_order": copied["cpu_s"] / orders * 1e6,
            "broker_cpu_us_per_order": broker / orders * 1e6}


def hello(alike=False, connections=32, warm_up=3, seconds=15):
    """Reads of an axum service that says hello, by the same wrk as the harness's reads: as axum serves it, or served as our reads are."""
    service = subprocess.Popen([BENCH_APP, "hello", "--http-port", str(HELLO_PORT), *["--alike"][:alike]])
    url = f"http://127.0.0.1:{HELLO_PORT}/"

    def wrk(seconds):
        run = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url], capture_output=True, text=True, timeout=seconds + 60)
        found = re.search(r"(\d+) requests in", run.stdout)
        if run.returncode or not found or "Non-2xx" in run.stdout:
            raise RuntimeError(f"wrk failed: {run.stdout} {run.stderr}")
        return int(found.group(1))
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(url, timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        wrk(warm_up)
        before, start = proc_cpu(service.pid), time.monotonic()
        requests = wrk(seconds)
        cpu, wall = proc_cpu(service.pid) - before, time.monotonic() - start
    finally:
        service.terminate()
        service.wait(10)
    return {"step": "hello, served alike" if alike else "hello", "connections": connections, "requests_per_s": requests / wall, "app_cpu_us_per_request": cpu / requests * 1e6}
