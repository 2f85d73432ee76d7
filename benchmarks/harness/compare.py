"""Driver: runs the same workload for many peers, interleaved (rep by rep), and prints medians and ratios.

    python compare.py --plan W2-10000 [--reps 3] [--only raw,sciflow] [--out results.jsonl]
    python compare.py --report results.jsonl          tables from everything recorded so far

To add a peer: write bench_<peer>.py (a common.Peer subclass), make $BENCH_VENVS/bench-<peer> (or set VENV below), add its
"peer:mode" to the plans. Every record holds `others`, the number of cores that OTHER processes used during the timed part:
runs are started when the machine is quiet if that comes within --quiet-wait seconds, and the report quotes the median wall
over the quietest half of the runs (at least 3) next to the median CPU seconds (own process tree), which contention moves much less.
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
VENV = {}

# plan -> list of "peer:mode"; the floor first, then sciflow, then peers, of which those in DURABLE keep each result as it comes
FLOOR, OURS = "raw:pool_chunk", "sciflow:local"
DURABLE = ["pipefunc:file_array", "xyzpy:harvest", "signac:pool", "psweep:pool_tmpsave", "parsl:htex_memo_task",
           "executorlib:block_cache", "joblib:memory", "ray:tasks"]
SLOW = ["hydra:joblib", "mlflow:file", "mlflow:sqlite"]
PLANS = {
    "W2-10": [OURS, *SLOW],
    "W2-100": [OURS, *SLOW],
    "W2-1000": [FLOOR, OURS, *DURABLE],
    "W2-10000": [FLOOR, OURS, *(peer for peer in DURABLE if not peer.startswith(("executorlib", "parsl")))],
    "W2-5000": ["parsl:htex_memo_task", "executorlib:block_cache"],
    "W2-100000": [FLOOR, OURS],
    "W2-1000000": [OURS],
    "W3-100": [FLOOR, OURS],
    "W3-1000": [FLOOR, "raw:pool_1", OURS, "pipefunc:file_array", "joblib:loky"],
    "W4-1000": [OURS, "pipefunc:file_array", "joblib:memory"],
    "W4-10000": [OURS, "pipefunc:file_array", "joblib:memory"],
    "W5-1000": [FLOOR, "raw:pool_chunk_npz", OURS, "pipefunc:file_array", "pipefunc:dict", "xyzpy:harvest", "psweep:pool",
                "signac:pool", "joblib:memory", "executorlib:block"],
    "W6-100000": [OURS],
    "W6-10000": [OURS, "pipefunc:file_array", "xyzpy:harvest", "psweep:pool", "signac:pool", "joblib:memory"],
    "W7-1000": ["raw:pool_chunk_catch", OURS, "joblib:memory", "pipefunc:file_array", "xyzpy:harvest", "psweep:pool",
                "signac:pool", "executorlib:block"],
}


def busy():
    f = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    return sum(f[:8]) - f[3] - f[4]


def wait_quiet(limit):
    t0 = time.time()
    while True:
        b = busy()
        time.sleep(0.4)
        if (busy() - b) / 40 < 0.15 or time.time() - t0 > limit:
            return


def python_of(peer):
    return os.path.join(os.environ.get("BENCH_VENVS", "bench-venvs"), f"bench-{VENV.get(peer, peer)}", "bin", "python")


def run(entry, workload, n, workers, timeout, quiet):
    peer, mode = entry.split(":")
    if quiet:
        wait_quiet(quiet)
    cmd = [python_of(peer), os.path.join(HERE, f"bench_{peer}.py"), "--variants", str(n), "--workload", workload,
           "--workers", str(workers), "--mode", mode]
    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        o, e = p.communicate(timeout=timeout)
        j = json.loads(o.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGTERM)
        try:
            p.communicate(timeout=8)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.communicate()
        j = {"peer": peer, "mode": mode, "workload": workload, "variants": n, "ok": False, "error": f"timeout {timeout} s"}
    except Exception as x:
        j = {"peer": peer, "mode": mode, "workload": workload, "variants": n, "ok": False, "error": f"{x!r} {e[-200:]}"}
    j["at"] = round(time.time(), 1)
    return j


def med(v):
    return statistics.median(v) if v else None


def quietest(rs):
    rs = sorted(rs, key=lambda r: r.get("others", 0.0))
    return rs[:max(3, (len(rs) + 1) // 2)]


def summarise(recs):
    by = {}
    for r in recs:
        by.setdefault((r["workload"], r["variants"]), {}).setdefault((r["peer"], r["mode"]), []).append(r)
    out = {}
    for key, peers in sorted(by.items(), key=lambda x: (x[0][0], x[0][1])):
        rows = []
        for (p, m), rs in peers.items():
            ok = [r for r in rs if r.get("ok")]
            if not ok:
                rows.append({"peer": p, "mode": m, "error": rs[-1].get("error", "")[:90]})
                continue
            q = quietest(ok)
            row = {"peer": p, "mode": m, "n": len(ok), "others": med([r.get("others", 0) for r in q])}
            for k in ("wall_s", "run_s", "load_s", "cpu_s", "us_per_variant", "peak_rss_mb", "bytes", "alloc", "files", "utilisation",
                      "MBps_run", "MBps_load", "nothing_s", "one_percent_s", "nothing_cpu_s", "one_percent_cpu_s", "setup_s",
                      "first_us", "iter_ns", "item_us", "grid_mb"):
                v = [r[k] for r in q if r.get(k) is not None]
                if v:
                    row[k] = med(v)
            for k in ("calls", "finished", "good", "seen", "durable"):
                if k in ok[-1]:
                    row[k] = ok[-1][k]
            rows.append(row)
        out[key] = rows
    return out


def slopes(out):
    """Microseconds per variant with start-up taken out, between the smallest and the largest N that each peer ran."""
    walls = {}
    for (w, n), rows in out.items():
        for r in rows:
            if r.get("wall_s") is not None:
                walls.setdefault((w, f"{r['peer']}:{r['mode']}"), {})[n] = r["wall_s"]
    found = {}
    for (w, entry), by_n in walls.items():
        if len(by_n) > 1:
            few, many = min(by_n), max(by_n)
            found.setdefault(w, {})[entry] = (few, many, (by_n[many] - by_n[few]) / (many - few) * 1e6)
    for w, entries in sorted(found.items()):
        ours = entries.get(OURS)
        print(f"\n## {w}: slope")
        for entry, (few, many, us) in sorted(entries.items(), key=lambda item: item[1][2]):
            ratio = f"{us / ours[2]:9.1f} x sciflow" if ours else ""
            print(f"{entry:28s} {few:>7,} to {many:>9,} {us:12.2f} us per variant {ratio}")


def show(out):
    for (w, n), rows in out.items():
        good = [r for r in rows if "error" not in r]
        if not good:
            continue
        ref = next((r for r in good if r["peer"] == "raw" and r["mode"] in ("pool_chunk",)), good[0])
        print(f"\n## {w} N={n}   (ref = {ref['peer']}:{ref['mode']})")
        cols = ["wall_s", "cpu_s", "us_per_variant", "peak_rss_mb", "alloc", "files", "others"]
        extra = {"W1": ["first_us", "iter_ns", "item_us", "grid_mb"], "W3": ["utilisation", "run_s"], "W5": ["MBps_run", "MBps_load"],
                 "W6": ["nothing_s", "one_percent_s", "nothing_cpu_s", "one_percent_cpu_s"]}.get(w, [])
        print(f"{'peer':28s} {'durable':8s}" + "".join(f"{c:>15s}" for c in extra + cols) + "   wall/ref  cpu/ref")
        for r in sorted(good, key=lambda r: r.get("wall_s", 9e9)):
            ratio = r["wall_s"] / ref["wall_s"] if ref.get("wall_s") else 0
            cr = (r.get("cpu_s") or 0) / ref["cpu_s"] if ref.get("cpu_s") else 0
            print(f"{r['peer'] + ':' + r['mode']:28s} {r.get('durable', ''):8s}"
                  + "".join(f"{(r.get(c) if r.get(c) is not None else float('nan')):15.4g}" for c in extra + cols)
                  + f" {ratio:9.2f} {cr:9.2f}  n={r['n']}" + (f" calls={r['calls']}" if "calls" in r else "")
                  + (f" finished={r['finished']} good={r['good']} {r['seen'][:110]}" if "finished" in r else ""))
        for r in rows:
            if "error" in r:
                print(f"{r['peer'] + ':' + r['mode']:28s} FAILED {r['error']}")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--plan", default="W2-1000")
    ap.add_argument("--reps", type=int, default=3)
    ap.add_argument("--workers", type=int, default=2)
    ap.add_argument("--only", default="")
    ap.add_argument("--timeout", type=float, default=90)
    ap.add_argument("--quiet-wait", type=float, default=10)
    ap.add_argument("--out", default=os.path.join(HERE, "results.jsonl"))
    ap.add_argument("--report", default="")
    o = ap.parse_args()
    if o.report:
        recorded = summarise([json.loads(x) for x in open(o.report)])
        show(recorded)
        slopes(recorded)
        return
    only = set(filter(None, o.only.split(",")))
    here = []
    for plan in o.plan.split(","):
        w, n = plan.split("-")
        dead = {}
        for rep in range(o.reps):
            for e in PLANS[plan]:
                if only and e not in only and e.split(":")[0] not in only or dead.get(e, 0) >= 1:
                    continue
                j = run(e, w, int(n), o.workers, o.timeout, o.quiet_wait)
                if not j.get("ok"):
                    dead[e] = dead.get(e, 0) + 1
                here.append(j)
                with open(o.out, "a") as f:
                    f.write(json.dumps(j) + "\n")
                print(f"{plan} rep{rep} {e}: " + (f"wall {j['wall_s']:.3f} cpu {j.get('cpu_s', 0):.3f} others {j.get('others', 0)}"
                                                 if j.get("ok") else "FAIL " + j.get("error", "")[:150]), file=sys.stderr, flush=True)
    show(summarise(here))
    slopes(summarise(here))


if __name__ == "__main__":
    main()
