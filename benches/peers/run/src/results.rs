//! What was measured.

use std::collections::BTreeMap;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    Nanos,
    PerSecond,
    Bytes,
}

/// One thing that is measured of every peer.
pub(crate) struct Figure {
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) unit: Unit,
    /// By peer: sorted once all is measured.
    pub(crate) samples: BTreeMap<&'static str, Vec<f64>>,
}

#[derive(Default)]
pub(crate) struct Results {
    pub(crate) figures: Vec<Figure>,
}

impl Results {
    /// Adds samples to a figure, which is made if it is new.
    pub(crate) fn add(&mut self, key: &str, title: &str, unit: Unit, peer: &'static str, samples: &[f64]) {
        let at = self.figures.iter().position(|figure| figure.key == key).unwrap_or_else(|| {
            let samples = BTreeMap::new();
            self.figures.push(Figure { key: key.into(), title: title.into(), unit, samples });
            self.figures.len() - 1
        });
        self.figures[at].samples.entry(peer).or_default().extend(samples);
    }

    pub(crate) fn sort(&mut self) {
        self.figures
            .iter_mut()
            .flat_map(|figure| figure.samples.values_mut())
            .for_each(|samples| samples.sort_by(f64::total_cmp));
    }

    pub(crate) fn figure(&self, key: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.key == key)
    }

    pub(crate) fn median(&self, key: &str, peer: &str) -> Option<f64> {
        self.figure(key)?.at(peer, 0.5)
    }
}

impl Figure {
    pub(crate) fn at(&self, peer: &str, part: f64) -> Option<f64> {
        let sorted = self.samples.get(peer)?;
        sorted.get(((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1))).copied()
    }

    /// How many times as good as `b` is `a`.
    pub(crate) fn gain(&self, a: f64, b: f64) -> f64 {
        if self.unit == Unit::PerSecond { a / b } else { b / a }
    }
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nanos => "ns",
            Self::PerSecond => "1/s",
            Self::Bytes => "bytes",
        }
    }

    /// Three digits, with a unit that a person reads.
    pub(crate) fn show(self, value: f64) -> String {
        let (size, scale) = match self {
            Self::Nanos => (1000.0, &["ns", "µs", "ms", "s"][..]),
            Self::Bytes => (1024.0, &["B", "KiB", "MiB", "GiB"][..]),
            Self::PerSecond => (1000.0, &["/s", "k/s", "M/s"][..]),
        };
        let (mut value, mut at) = (value, 0);
        while value >= size && at + 1 < scale.len() {
            value /= size;
            at += 1;
        }
        let digits = usize::from(value < 100.0) + usize::from(value < 10.0);
        format!("{value:.digits$} {}", scale[at])
    }
}
