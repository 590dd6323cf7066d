//! What the command line says.

use std::time::Duration;

use super::attacks::Attack;
use super::scripts::SCRIPTS;

pub struct Options {
    pub engine: String,
    pub sample: bool,
    pub cases_of_each: usize,
    pub scripts: Vec<String>,
    pub attacks: Vec<String>,
    pub jobs: usize,
    pub seed: u64,
    pub seconds: Option<Duration>,
    pub case: Option<String>,
    pub list: bool,
    pub keep: bool,
    pub controls: bool,
}

const USAGE: &str = "tests/disk_faults/run [options]
  --sample            a spread of cases over all scripts and attacks, in at most five minutes
  --each N            cases of each script and attack in a sample (6)
  --script NAME       only scripts with this in their name; can be repeated
  --attack NAME       only these attacks: kill torn kill-twice errno-once errno-for-ever errno-a-few errno-half-way short
                      power-cut kill-then-cut ext4-shutdown; can be repeated
  --engine NAME       the engine under the store: sled, or sqlite (sled)
  --jobs N            cases at a time (2)
  --seed N            which cases a sample takes, and in which order (1)
  --seconds N         stops after so long, and says so
  --case NAME         one case, as a finding names it; prints its log
  --list              says how many cases there are
  --keep              leaves the folders in /dev/shm, and the logs of what was found
  --no-controls       leaves out the known-bad stores";

impl Options {
    pub fn parse(args: &[String]) -> Self {
        let mut options = Self {
            engine: "sled".into(),
            sample: false,
            cases_of_each: 6,
            scripts: Vec::new(),
            attacks: Vec::new(),
            jobs: 2,
            seed: 1,
            seconds: None,
            case: None,
            list: false,
            keep: false,
            controls: true,
        };
        let mut rest = args.iter();
        while let Some(name) = rest.next() {
            let mut value = || rest.next().cloned().unwrap_or_else(|| usage(&format!("{name} needs a value")));
            let number = |text: String| text.parse::<u64>().unwrap_or_else(|_| usage(&format!("{text} is no number")));
            match name.as_str() {
                "--sample" => (options.sample, options.seconds) = (true, Some(Duration::from_secs(240))),
                "--each" => options.cases_of_each = usize::try_from(number(value())).expect("a count"),
                "--script" => options.scripts.push(value()),
                "--attack" => options.attacks.push(value()),
                "--engine" => options.engine = value(),
                "--jobs" => options.jobs = usize::try_from(number(value())).expect("a count").max(1),
                "--seed" => options.seed = number(value()),
                "--seconds" => options.seconds = Some(Duration::from_secs(number(value()))),
                "--case" => {
                    let case = value();
                    let mut parts = case.split('/').map(str::to_owned);
                    (options.scripts, options.attacks) = (parts.next().into_iter().collect(), parts.next().into_iter().collect());
                    (options.jobs, options.case) = (1, Some(case));
                }
                "--list" => options.list = true,
                "--keep" => options.keep = true,
                "--no-controls" => options.controls = false,
                _ => usage(&format!("{name}?")),
            }
        }
        options
    }

    pub fn wants_script(&self, name: &str) -> bool {
        // A whole name is that script's alone.
        let is_name = |wanted: &String| SCRIPTS.iter().any(|script| script.name == wanted);
        let is_it = |wanted: &String| if is_name(wanted) { name == wanted } else { name.contains(wanted.as_str()) };
        self.scripts.is_empty() || self.scripts.iter().any(is_it)
    }

    pub fn wants_attack(&self, attack: Attack) -> bool {
        self.attacks.is_empty() || self.attacks.iter().any(|wanted| attack.name() == wanted)
    }

    /// Puts them in an order that the seed decides.
    pub fn shuffle<T>(&self, all: &mut [T]) {
        let mut state = self.seed;
        for end in (1..all.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = usize::try_from(state >> 33).expect("31 bits") % (end + 1);
            all.swap(end, place);
        }
    }
}

fn usage(what: &str) -> ! {
    eprintln!("{what}\n{USAGE}");
    std::process::exit(2)
}
