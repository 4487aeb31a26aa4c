//! Latencies as an SVG: quantiles on the axis that HDR plots use (each decade of 9s as wide as the one before), time on
//! a logarithmic one.

use std::fmt::Write as _;

use crate::latency::Distribution;
use crate::report::ReplayReport;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;

/// Decades of 9s shown: up to 99.9999 %.
const DECADES: f64 = 6.0;

/// Draws the three latencies of a replay.
pub fn latencies(report: &ReplayReport) -> String {
    let curves = [
        ("intended sending → answer", "#1f6feb", &report.response),
        ("actual sending → answer", "#8b949e", &report.service),
        ("intended sending → outcome", "#d1242f", &report.outcome),
    ];
    let curves: Vec<_> = curves.into_iter().filter(|(_, _, d)| d.count > 0).collect();
    let lowest = curves.iter().map(|(_, _, d)| d.min_us.max(1)).min().unwrap_or(1) as f64;
    let highest = curves.iter().map(|(_, _, d)| d.max_us).max().unwrap_or(10) as f64;
    let (low, high) = (lowest.log10().floor(), highest.log10().ceil().max(lowest.log10().floor() + 1.0));
    let y = |us: f64| HEIGHT - BOTTOM - (us.max(1.0).log10() - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
    let mut svg = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="{LEFT}" y="20" font-size="14">{}</text>
"##,
        escape(&format!("{} → {} ({})", report.file, report.target, report.pace))
    );
    grid(&mut svg, low, high, &y);
    for (index, (title, colour, distribution)) in curves.iter().enumerate() {
        let _ =
            writeln!(svg, r#"<path fill="none" stroke="{colour}" stroke-width="2" d="{}"/>"#, path(distribution, &y));
        let x = LEFT + index as f64 * 260.0;
        let _ = writeln!(
            svg,
            r#"<rect x="{x}" y="30" width="18" height="4" fill="{colour}"/><text x="{}" y="36">{title}</text>"#,
            x + 24.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn x(quantile: f64) -> f64 {
    let nines = -(1.0 - quantile).max(10_f64.powf(-DECADES)).log10();
    LEFT + nines / DECADES * (WIDTH - LEFT - RIGHT)
}

fn path(distribution: &Distribution, y: &dyn Fn(f64) -> f64) -> String {
    let mut path = String::new();
    for (quantile, us) in &distribution.curve {
        let command = if path.is_empty() { 'M' } else { 'L' };
        let _ = write!(path, "{command}{:.1} {:.1}", x(*quantile), y(*us as f64));
    }
    path
}

fn grid(svg: &mut String, low: f64, high: f64, y: &dyn Fn(f64) -> f64) {
    let bottom = HEIGHT - BOTTOM;
    for decade in low as i32..=high as i32 {
        let us = 10_f64.powi(decade);
        let label = if us < 1e3 {
            format!("{us} µs")
        } else if us < 1e6 {
            format!("{} ms", us / 1e3)
        } else {
            format!("{} s", us / 1e6)
        };
        let (at, end, text) = (y(us), WIDTH - RIGHT, LEFT - 8.0);
        let _ = writeln!(
            svg,
            r##"<line x1="{LEFT}" x2="{end}" y1="{at:.1}" y2="{at:.1}" stroke="#dddddd"/><text x="{text}" y="{:.1}" text-anchor="end">{label}</text>"##,
            at + 4.0
        );
    }
    let quantiles = [
        (0.0, "0"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
    ];
    for (quantile, label) in quantiles {
        let at = x(quantile);
        let _ = writeln!(
            svg,
            r##"<line x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{bottom}" stroke="#dddddd"/><text x="{at:.1}" y="{}" text-anchor="middle">{label}</text>"##,
            bottom + 18.0
        );
    }
    let _ = writeln!(svg, r#"<text x="{}" y="{}" text-anchor="middle">quantile</text>"#, WIDTH / 2.0, HEIGHT - 15.0);
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latencies;
    use std::time::Duration;

    #[test]
    fn a_plot_rises_to_the_right_and_stays_inside() {
        let mut latencies_ = Latencies::default();
        for ms in 1..=1_000 {
            latencies_.record(Duration::from_millis(ms));
        }
        let report =
            ReplayReport { response: latencies_.distribution(), file: "a<b".into(), ..ReplayReport::default() };
        let svg = latencies(&report);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains("a&lt;b"));
        let start = svg.find(" d=\"M").unwrap() + 5;
        let points: Vec<(f64, f64)> = svg[start..svg[start..].find('"').unwrap() + start]
            .split('L')
            .map(|point| point.split_once(' ').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap())
            .collect();
        assert!(points.len() > 20);
        for pair in points.windows(2) {
            assert!(pair[1].0 >= pair[0].0 && pair[1].1 <= pair[0].1, "{pair:?}");
        }
        for (x, y) in points {
            assert!((LEFT..=WIDTH - RIGHT + 0.1).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y), "{x} {y}");
        }
    }
}
