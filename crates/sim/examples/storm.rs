//! Many seeds of random weather, one line per broken promise: `cargo run -p sim --example storm -- FIRST COUNT`.
#![allow(clippy::print_stdout, reason = "it prints for people")]

use std::time::Instant;

use sim::{Options, SCENARIOS, Storm, run};

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let (first, count) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(1_000));
    let options = Options { storm: Storm::Drawn, ..Options::default() };
    let started = Instant::now();
    let mut broken = 0;
    for seed in first..first + count {
        let report = run(&SCENARIOS[0], seed, &options);
        if let Some(violation) = report.violation {
            broken += 1;
            println!("{seed:>9}  {}: {}", violation.promise, violation.what);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{count} seeds, {broken} broken, {:.0} seeds/s on one thread", count as f64 / seconds);
}
