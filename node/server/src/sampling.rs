//! Rates and peaks: what INFO shows that is no plain counter.

use std::time::Instant;

use parking_lot::Mutex;

use crate::keyspace::Gauge;

/// Samples that a rate is averaged over, and how often they are taken (Redis 7.0: 16 samples, one
/// every 100 ms).
const SAMPLES: usize = 16;

/// A rate over the last samples of a counter.
#[derive(Debug, Default)]
struct Rate {
    last: u64,
    samples: [u64; SAMPLES],
}

impl Rate {
    fn sample(&mut self, index: usize, value: u64, elapsed_ms: u64) {
        let difference = value.saturating_sub(self.last);
        self.samples[index % SAMPLES] = difference * 1000 / elapsed_ms.max(1);
        self.last = value;
    }

    fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / SAMPLES as u64
    }
}

#[derive(Debug)]
struct Rates {
    commands: Rate,
    input_bytes: Rate,
    output_bytes: Rate,
    index: usize,
    last: Instant,
}

/// The rates and peaks of the process.
#[derive(Debug)]
pub(crate) struct Samples {
    rates: Mutex<Rates>,
    /// `used_memory_peak`, bytes.
    pub(crate) memory_peak: Gauge,
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            rates: Mutex::new(Rates {
                commands: Rate::default(),
                input_bytes: Rate::default(),
                output_bytes: Rate::default(),
                index: 0,
                last: Instant::now(),
            }),
            memory_peak: Gauge::default(),
        }
    }
}

impl Samples {
    /// Takes a sample of the counters: commands, input bytes, output bytes.
    pub(crate) fn sample(&self, commands: u64, input_bytes: u64, output_bytes: u64) {
        let rates = &mut *self.rates.lock();
        let elapsed_ms = rates.last.elapsed().as_millis() as u64;
        rates.last = Instant::now();
        rates.commands.sample(rates.index, commands, elapsed_ms);
        rates
            .input_bytes
            .sample(rates.index, input_bytes, elapsed_ms);
        rates
            .output_bytes
            .sample(rates.index, output_bytes, elapsed_ms);
        rates.index += 1;
    }

    /// Commands, input bytes and output bytes a second.
    pub(crate) fn rates(&self) -> (u64, u64, u64) {
        let rates = self.rates.lock();
        let [commands, input, output] = [&rates.commands, &rates.input_bytes, &rates.output_bytes];
        (
            commands.per_second(),
            input.per_second(),
            output.per_second(),
        )
    }

    /// Raises the peak of used memory, and returns it.
    pub(crate) fn note_memory(&self, bytes: u64) -> u64 {
        let peak = self.memory_peak.get().max(bytes);
        self.memory_peak.set(peak);
        peak
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset(&self) {
        let rates = &mut *self.rates.lock();
        for rate in [
            &mut rates.commands,
            &mut rates.input_bytes,
            &mut rates.output_bytes,
        ] {
            *rate = Rate::default();
        }
        self.memory_peak.set(0);
    }
}
