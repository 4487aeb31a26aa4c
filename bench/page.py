"""The page of a comparison: one HTML file, plots as inline SVG, nothing fetched."""
import math
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM = 560, 240, 64, 36
COLOURS = ("#b3541e", "#1e6fb3", "#7a7a7a")
STYLE = """body{font:15px/1.45 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse}td,th{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd}
td:nth-child(-n+4),th:nth-child(-n+4){text-align:left}.no{color:#a00}.yes{color:#070}
figure{display:inline-block;margin:1rem 1rem 0 0}figcaption{font-weight:600}svg text{font:12px system-ui,sans-serif}"""


def number(v):
    """Four digits or all whole ones, never with an exponent."""
    return f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.4g}"


def frame(title, x_label, y_label, x_max, y_max, marks, legend):
    """An SVG with axes from zero; `marks` draws with the two scales it gets."""
    def x(v):
        return LEFT + (WIDTH - LEFT - 12) * v / (x_max or 1)

    def y(v):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 28) * v / (y_max or 1)
    parts = [f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}">']
    for i in range(5):
        v = y_max * i / 4
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{number(v)}</text>')
    parts += marks(x, y)
    for i, (name, colour) in enumerate(legend):
        parts.append(f'<rect x="{LEFT + i * 150}" y="4" width="12" height="12" fill="{colour}"/>'
                     f'<text x="{LEFT + 18 + i * 150}" y="14">{escape(name)}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text></svg>')
    return f"<figure><figcaption>{escape(title)} <small>({escape(y_label)})</small></figcaption>{''.join(parts)}</figure>"


def lines(title, x_label, y_label, series):
    """Lines of (x, y) points; `series` is [(name, colour, points)]. A name is shown once."""
    points = [p for _, _, line in series for p in line]
    if not points:
        return ""

    def marks(x, y):
        out = [f'<text x="{x(x_max * i / 4):.1f}" y="{HEIGHT - 20}" text-anchor="middle">{x_max * i / 4:,.3g}</text>' for i in range(5)]
        for _, colour, line in series:
            path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        return out
    x_max, y_max = max(p[0] for p in points), max(p[1] for p in points)
    return frame(title, x_label, y_label, x_max, y_max, marks, list({(n, c): None for n, c, _ in series}))


def bars(title, y_label, groups, legend):
    """Groups of stacks: [(label, [[value per stack part] per bar])]."""
    tallest = max((sum(bar) for _, stack in groups for bar in stack), default=0)
    if not tallest:
        return ""

    def marks(x, y):
        out, slot = [], (WIDTH - LEFT - 12) / len(groups)
        for g, (label, stack) in enumerate(groups):
            wide = slot * 0.8 / len(stack)
            out.append(f'<text x="{LEFT + slot * (g + 0.5):.1f}" y="{HEIGHT - 20}" text-anchor="middle">{escape(label)}</text>')
            for b, bar in enumerate(stack):
                base = 0
                for part, v in enumerate(bar):
                    at = LEFT + slot * (g + 0.1) + wide * b
                    out.append(f'<rect x="{at:.1f}" y="{y(base + v):.1f}" width="{wide - 2:.1f}" height="{y(base) - y(base + v):.1f}" '
                               f'fill="{COLOURS[b]}" opacity="{1 if part == 0 else 0.45}"><title>{v:.4g}</title></rect>')
                    base += v
        return out
    return frame(title, "", y_label, 1, tallest, marks, legend)


def throughput(runs, sides, workload, step):
    """Outcomes per second between the harness's samples."""
    series = []
    for side, colour in zip(sides, COLOURS):
        for r in runs:
            if (r["side"], r["workload"], r["step"]) == (side, workload, step) and r.get("timeline"):
                line = r["timeline"]
                rate = [(b[0], (b[1] - a[1]) / (b[0] - a[0])) for a, b in zip(line, line[1:]) if b[0] > a[0]]
                series.append((side, colour, rate))
    return lines(f"{workload.upper()} {step}: outcomes visible", "seconds since the start", "per second", series)


def medians(summary, workload, what, against):
    """{step: [median per side]} of one figure."""
    found = (r for r in summary["figures"] if (r["workload"], r["what"], r["against"]) == (workload, what, against))
    return {r["step"]: [r["theirs"]["median"], r["ours"]["median"]] for r in found}


def render(summary, runs, sides):
    """The whole page. `sides` are the peer, ours, and whoever else has latencies."""
    pair = sides[:2]
    legend = list(zip(pair, COLOURS))
    plots = []
    for workload in ("w2", "w1"):
        plots += [throughput(runs, pair, workload, step) for step in ("drain", "warm")]
        app = medians(summary, workload, "app CPU per input, µs", sides[0])
        broker = medians(summary, workload, "broker CPU per input, µs", sides[0])
        split = [(step, [list(both) for both in zip(app[step], broker[step])]) for step in app if step in broker]
        plots.append(bars(f"{workload.upper()} CPU per input: app, and paler the broker", "µs", split, legend))
        rss = medians(summary, workload, "peak RSS, MB", sides[0])
        plots.append(bars(f"{workload.upper()} peak memory", "MB", [(s, [[v] for v in values]) for s, values in rss.items()], legend))
    for step in ("latency:500", "latency:2000"):
        groups = []
        for q in ("p50", "p90", "p95", "p99", "p999", "max"):
            values = []
            for side in sides:
                got = sorted(r["latency_ms"][q] for r in runs if (r["side"], r["step"]) == (side, step) and r.get("latency_ms"))
                values.append([got[len(got) // 2]] if got else [0])
            groups.append((q, values))
        plots.append(bars(f"W2 {step.replace(':', ' at ')}/s: place to outcome", "ms", groups, list(zip(sides, COLOURS))))
    rows = []
    for r in summary["figures"]:
        cells = "".join(f"<td>{number(s['median'])} <small>[{number(s['min'])} .. {number(s['max'])}]</small></td>" for s in (r["theirs"], r["ours"]))
        goal = "" if r["goal"] is None else f'<span class="{"yes" if r["reached"] else "no"}">≥ {r["goal"]:g}</span>'
        ratio = "-" if r["ratio"] is None else f"{r['ratio']:.2f}"
        rows.append(f"<tr><td>{r['workload']}</td><td>{r['step']}</td><td>{escape(r['what'])}</td><td>{escape(r['against'])}</td>{cells}<td>{ratio}</td><td>{goal}</td></tr>")
    m = summary["machine"]
    verdict = "every run passed the harness's checks" if summary["correct"] else "A RUN FAILED ITS CHECKS: no ratio counts"
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{" and ".join(pair)}</title><style>{STYLE}</style>'
            f"<h1>{' and '.join(pair)}, side by side</h1><p>{escape(m['cpu'])}, {m['cores']} cores, {m['memory_gb']} GB, {m['at']}; "
            f"{summary['rounds']} rounds in turn, {summary['orders']:,} orders; {verdict}. Medians and ranges; a ratio above 1 is in "
            f"{sides[1]}'s favour.</p><table><tr><th></th><th>step</th><th>figure</th><th>against</th><th></th><th>{escape(sides[1])}</th><th>ratio</th><th>goal</th></tr>"
            f"{''.join(rows)}</table>{''.join(plots)}</html>")


PARTS = ("#1e6fb3", "#b3541e", "#2a8c4a", "#8c2a7d", "#b3961e", "#5a5ac8", "#c84a5a", "#4aa6a6", "#7a7a7a", "#222222")


def curve(title, x_label, y_label, series):
    """Lines with their points over a logarithmic axis that is marked where something was measured."""
    xs = sorted({x for _, _, points in series for x, _ in points})
    y_max = max(y for _, _, points in series for _, y in points)
    span = math.log10(xs[-1] / xs[0]) or 1

    def marks(x, y):
        out = [f'<text x="{x(math.log10(v / xs[0])):.1f}" y="{HEIGHT - 20}" text-anchor="middle">{number(v)}</text>' for v in xs]
        for _, colour, points in series:
            at = [(x(math.log10(a / xs[0])), y(b)) for a, b in points]
            out.append(f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in at)}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>' for a, b in at]
        return out
    names = " ".join(f'<span style="color:{colour}">■ {escape(name)}</span>' for name, colour, _ in series)
    return frame(title, x_label, y_label, span * 1.05, y_max, marks, []).replace("</figure>", f"<div><small>{names}</small></div></figure>")


def render_growth(series):
    """The page of `bench/growth`: a plot per series, and what its bends come from."""
    body = []
    for s in series:
        points, lines = s["points"], [("all", PARTS[0], [(p["x"], p["us"]) for p in s["points"]])]
        largest = sorted({n for p in points for n in p["parts"]}, key=lambda n: -max(p["parts"].get(n, 0) for p in points))
        lines += [(n, c, [(p["x"], p["parts"].get(n, 0)) for p in points]) for n, c in zip(largest, PARTS[1:])]
        why = "".join(f"<li>{escape(text)}</li>" for text in s["bends"]) or "<li>no bend</li>"
        m = s["machine"]
        body.append(f"{curve(s['title'], s['x'], 'µs of CPU per order', lines)}<ul>{why}</ul><p><small>{escape(m['cpu'])}, {m['cores']} cores, "
                    f"{m['memory_gb']} GB, {m['at']}; {s['orders']:,} orders per point</small></p>")
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>How cost grows</title><style>{STYLE}</style><h1>How the cost of an order grows</h1>{"".join(body)}</html>'
