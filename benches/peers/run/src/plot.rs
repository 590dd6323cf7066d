//! Plots as SVG, by hand: readable in light and dark, with a logarithmic scale, as the peers are
//! powers of ten apart.

use std::fmt::Write;

use crate::driver::{Protection, Spec};
use crate::results::Unit;

const WIDTH: f64 = 760.0;
const STYLE: &str = "<style>
.paper{fill:#fff}.ink{fill:#1f2328}.faint{fill:#59636e}.grid{stroke:#d1d9e0}.tick{stroke:#1f2328}
.ours{fill:#0969da;stroke:#0969da}.sealed{fill:#8250df;stroke:#8250df}.plain{fill:#818b98;stroke:#818b98}.bound{fill:#bc4c00;stroke:#bc4c00}
@media(prefers-color-scheme:dark){.paper{fill:#0d1117}.ink{fill:#f0f6fc}.faint{fill:#9198a1}.grid{stroke:#3d444d}.tick{stroke:#f0f6fc}
.ours{fill:#4493f8;stroke:#4493f8}.sealed{fill:#ab7df8;stroke:#ab7df8}.plain{fill:#9198a1;stroke:#9198a1}.bound{fill:#db6d28;stroke:#db6d28}}
text{font:12px system-ui,sans-serif;stroke:none}.title{font-size:15px;font-weight:600}.line{fill:none;stroke-width:2}.end{text-anchor:end}
.middle{text-anchor:middle}</style>";

fn class(spec: &Spec) -> &'static str {
    match spec.protection {
        _ if spec.is_ours() => "ours",
        Protection::NoRows => "bound",
        Protection::Plain => "plain",
        Protection::Sealed => "sealed",
    }
}

/// A bar of a plot: from the left to the value, with a mark at another value.
pub(crate) struct Bar {
    pub(crate) spec: &'static Spec,
    pub(crate) value: f64,
    pub(crate) mark: Option<f64>,
}

pub(crate) fn bars(title: &str, legend: &str, unit: Unit, bars: &[Bar]) -> String {
    let (left, right, top) = (120.0, 640.0, 76.0);
    let height = top + bars.len() as f64 * 24.0 + 34.0;
    let scale = Scale::of(bars.iter().flat_map(|bar| [Some(bar.value), bar.mark]).flatten(), left, right);
    let mut svg = paper(title, legend, height);
    for (value, x) in scale.decades() {
        let _ = write!(svg, "<path class='grid' d='M{x:.1} {top}V{:.1}'/>", height - 30.0);
        let _ = write!(svg, "<text class='faint middle' x='{x:.1}' y='{:.1}'>{}</text>", height - 12.0, unit.show(value));
    }
    for (n, bar) in bars.iter().enumerate() {
        let (y, x, class) = (top + n as f64 * 24.0 + 4.0, scale.at(bar.value), class(bar.spec));
        let _ = write!(svg, "<text class='ink end' x='{}' y='{:.1}'>{}</text>", left - 8.0, y + 13.0, bar.spec.title);
        let _ =
            write!(svg, "<rect class='{class}' x='{left}' y='{y:.1}' width='{:.1}' height='16' rx='2'/>", (x - left).max(1.0));
        let mut end = x;
        let mut text = unit.show(bar.value);
        if let Some(mark) = bar.mark {
            let x = scale.at(mark);
            let _ = write!(svg, "<path class='tick' stroke-width='2' d='M{x:.1} {:.1}v12'/>", y + 2.0);
            end = end.max(x);
            text = format!("{text} | {}", unit.show(mark));
        }
        let _ = write!(svg, "<text class='faint' x='{:.1}' y='{:.1}'>{text}</text>", end + 6.0, y + 13.0);
    }
    svg + "</svg>\n"
}

/// A line for each peer, over some numbers that are evenly apart.
pub(crate) fn lines(title: &str, legend: &str, unit: Unit, over: &[u64], of: &[(&'static Spec, Vec<Option<f64>>)]) -> String {
    let (left, right, top, bottom) = (76.0, 600.0, 84.0, 424.0);
    let scale = Scale::of(of.iter().flat_map(|(_, values)| values.iter().flatten().copied()), bottom, top);
    let x = |n: usize| left + 20.0 + (right - left - 40.0) * n as f64 / (over.len() - 1) as f64;
    let mut svg = paper(title, legend, bottom + 40.0);
    for (value, y) in scale.decades() {
        let _ = write!(svg, "<path class='grid' d='M{left} {y:.1}H{right}'/>");
        let _ = write!(svg, "<text class='faint end' x='{}' y='{:.1}'>{}</text>", left - 6.0, y + 4.0, unit.show(value));
    }
    for (n, number) in over.iter().enumerate() {
        let _ = write!(svg, "<text class='faint middle' x='{:.1}' y='{}'>{number}</text>", x(n), bottom + 20.0);
    }
    let mut labels = Vec::new();
    for (spec, values) in of {
        let points: Vec<(f64, f64)> = (0..).zip(values).filter_map(|(n, value)| Some((x(n), scale.at((*value)?)))).collect();
        let Some((end_x, end_y)) = points.last().copied() else { continue };
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        // The like of a plain peer, but sealed, is dashed: it often lies on it.
        let dash = if spec.id.ends_with("-aes") { " stroke-dasharray='5 4'" } else { "" };
        let _ = write!(svg, "<path class='line {}' style='fill:none'{dash} d='M{}'/>", class(spec), path.join("L"));
        labels.push((end_y, end_x, end_y, *spec));
    }
    // From top to bottom, none on another.
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = top - 10.0;
    for (y, ..) in &mut labels {
        *y = y.max(free);
        free = *y + 14.0;
    }
    let mut last = bottom + 10.0;
    for (y, x, from, spec) in labels.iter_mut().rev() {
        *y = y.min(last);
        last = *y - 14.0;
        let _ = write!(svg, "<path class='grid' d='M{:.1} {from:.1}L616 {y:.1}'/>", *x + 3.0);
        let _ = write!(svg, "<text class='ink' x='620' y='{:.1}'>{}</text>", *y + 4.0, spec.title);
    }
    svg + "</svg>\n"
}

fn paper(title: &str, legend: &str, height: f64) -> String {
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img'><title>{title}</title>{STYLE}"
    );
    let _ = write!(
        svg,
        "<rect class='paper' width='{WIDTH}' height='{height}' rx='6'/><text class='ink title' x='16' y='26'>{title}</text>"
    );
    let _ = write!(svg, "<text class='faint' x='16' y='46'>{legend}</text>");
    for (n, (class, text)) in
        [("ours", "oubliette"), ("sealed", "sealed peer"), ("plain", "plain peer"), ("bound", "the limit")].iter().enumerate()
    {
        let x = 16.0 + n as f64 * 100.0;
        let _ = write!(
            svg,
            "<rect class='{class}' x='{x}' y='55' width='10' height='10'/><text class='faint' x='{}' y='64'>{text}</text>",
            x + 15.0
        );
    }
    svg
}

/// A logarithmic scale between two places.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) =
            values.filter(|value| *value > 0.0).fold((f64::MAX, 1.0), |(low, high): (f64, f64), v| (low.min(v), high.max(v)));
        let low = (low.min(high) / 1.5).log10().floor();
        Self { low, high: (high * 1.05).log10().max(low + 1.0), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * (value.max(1e-9).log10() - self.low) / (self.high - self.low)
    }

    fn decades(&self) -> Vec<(f64, f64)> {
        (self.low as i32..=self.high as i32).map(|n| 10f64.powi(n)).map(|value| (value, self.at(value))).collect()
    }
}
