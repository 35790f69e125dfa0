//! `hexad-gossip-sim`: runs seeds of the simulator.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use hexad_gossip_sim::{Report, run_seed};

const USAGE: &str = "\
usage: hexad-gossip-sim [--seeds N] [--from S] [--threads T] [--keep-going]
       hexad-gossip-sim --seed S [--trace]

  --seeds N     run N seeds (default 1000)
  --from S      the first of them (default 0)
  --threads T   seeds at once (default: the cores)
  --keep-going  go on after a seed that fails
  --seed S      run one seed
  --trace       print its transcript
";

struct Options {
    first: u64,
    count: u64,
    threads: usize,
    keep_going: bool,
    trace: bool,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            let _ = write!(io::stderr(), "{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options {
        first: 0,
        count: 1_000,
        threads: cores,
        keep_going: false,
        trace: false,
    };
    while let Some(name) = args.next() {
        let mut number = || {
            let value = args
                .next()
                .ok_or_else(|| format!("{name} needs a number"))?;
            value
                .parse::<u64>()
                .map_err(|_| format!("{name} needs a number, not {value}"))
        };
        match name.as_str() {
            "--seeds" => options.count = number()?,
            "--from" => options.first = number()?,
            "--threads" => options.threads = number()?.clamp(1, 1_024) as usize,
            "--seed" => (options.first, options.count) = (number()?, 1),
            "--keep-going" => options.keep_going = true,
            "--trace" => options.trace = true,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}

/// Runs the seeds and answers how many failed.
fn run(options: &Options) -> io::Result<u64> {
    let started = Instant::now();
    let mut out = io::stdout().lock();
    let (mut ran, mut failed, mut events, mut frames, mut virtual_us) = (0u64, 0, 0, 0, 0);
    let result = for_each_report(options, |report| {
        ran += 1;
        events += report.counts.events;
        frames += report.counts.frames;
        virtual_us += report.virtual_us;
        for line in &report.transcript {
            writeln!(out, "{line}")?;
        }
        if options.count == 1 {
            writeln!(
                out,
                "seed {}: {:?}, hash {:016x}",
                report.seed, report.counts, report.hash
            )?;
        }
        if let Some(failure) = &report.failure {
            failed += 1;
            writeln!(out, "{failure}")?;
        }
        Ok(())
    });
    result?;
    let (hours, wall) = (virtual_us / 3_600_000_000, started.elapsed().as_secs_f64());
    writeln!(
        out,
        "{ran} seeds, {failed} failed: {hours} virtual hours, {events} events, {frames} frames \
         in {wall:.1} s"
    )?;
    Ok(failed)
}

/// Runs seeds on threads and hands the reports over in the order of their ends.
fn for_each_report(
    options: &Options,
    mut handle: impl FnMut(Report) -> io::Result<()>,
) -> io::Result<()> {
    let (sender, reports) = mpsc::channel();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..options.threads {
            let sender = sender.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= options.count {
                        break;
                    }
                    let report = run_seed(options.first + index, options.trace);
                    if report.failure.is_some() && !options.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                    if sender.send(report).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        reports.iter().try_for_each(&mut handle)
    })
}
