//! Output: progress on standard error if it is a terminal, results on standard output.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use alexnet_data::CacheOutcome;
use alexnet_train::{EpochRecord, Event, LastLayer, Pretrained};
use indicatif::{ProgressBar, ProgressStyle};

/// Interval of the progress lines that replace a bar if there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Prints a line on standard output. A closed pipe, as with `head`, is an error, not a panic.
pub fn say(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// Whether the error is that the reader of standard output has closed the pipe.
pub fn nobody_reads(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints an error as one sentence on standard error.
pub fn error(error: &anyhow::Error) {
    eprintln!("error: {}", sentence(error));
}

/// The error and its causes, without those already contained in its text.
pub fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        text if text.ends_with(&cause) => text.to_owned(),
        text => format!("{text}: {cause}"),
    })
}

/// A progress bar, drawn on standard error if it is a terminal.
pub fn bar(what: &str) -> ProgressBar {
    ProgressBar::new(0).with_style(style(&format!("{what} {{wide_bar}} {{pos}}/{{len}}")))
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━╸ ")
}

/// A duration in hours, minutes and seconds.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// The command that runs this program: through cargo if cargo started it.
pub fn program() -> &'static str {
    if std::env::var_os("CARGO").is_some() { "cargo run -p alexnet-cli --" } else { "alexnet" }
}

/// Shows the events of a run: progress bars on a terminal, otherwise a line every minute.
pub struct TrainView {
    json: bool,
    epochs: u32,
    state: Mutex<ViewState>,
}

struct ViewState {
    bar: ProgressBar,
    what: Showing,
    rate: Rate,
    /// Images of a full batch.
    batch: usize,
    /// When the last progress line was printed.
    line: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Showing {
    Nothing,
    Statistics,
    Epoch(u32),
    Validation,
}

impl ViewState {
    /// The bar for `what`; a new one if another is shown.
    fn bar(&mut self, what: Showing, template: &str, length: usize) -> &ProgressBar {
        if self.what != what {
            self.bar.finish_and_clear();
            (self.bar, self.what) = (ProgressBar::new(length as u64).with_style(style(template)), what);
        }
        &self.bar
    }
}

impl TrainView {
    /// A view of a run of `epochs` epochs. With `json`, only the result is printed on standard output.
    pub fn new(json: bool, epochs: u32) -> Self {
        let (bar, what) = (ProgressBar::hidden(), Showing::Nothing);
        Self {
            json,
            epochs,
            state: Mutex::new(ViewState { bar, what, rate: Rate::new(), batch: 0, line: Instant::now() }),
        }
    }

    /// Shows an event.
    pub fn show(&self, event: &Event<'_>) {
        // A panic elsewhere must not silence the rest.
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match *event {
            Event::Statistics { done, total } => {
                let bar = state.bar(Showing::Statistics, "computing the mean image {wide_bar} {pos}/{len}", total);
                bar.set_position(done as u64);
            }
            Event::Started { data, state: run, pretrained, frozen, .. } => {
                state.bar.finish_and_clear();
                let (train, val, classes) = (data.train.len(), data.val.len(), data.classes.len());
                self.line(&format!("{train} training and {val} validation images of {classes} classes"));
                if data.ignored_files > 0 {
                    self.line(&format!(
                        "{} files are ignored: their extensions are not those of images",
                        data.ignored_files
                    ));
                }
                if let Some(CacheOutcome::NotWritten { path, reason }) = &data.cache {
                    let path = path.display();
                    self.line(&format!(
                        "the mean image cannot be cached in {path} ({reason}) and is computed in every run"
                    ));
                }
                if let Some(Pretrained { path, classes: known, last_layer, .. }) = pretrained {
                    let what = match last_layer {
                        LastLayer::New(layer) => format!("{known} classes: {layer} is initialized again"),
                        LastLayer::AsManyClasses => "as many classes, unnamed: all layers are kept".into(),
                        _ => "the same classes: all layers are kept".into(),
                    };
                    self.line(&format!("pretrained weights: {}, {what}", path.display()));
                }
                if !frozen.is_empty() {
                    self.line(&format!("frozen: {}", frozen.join(", ")));
                }
                if run.step > 0 {
                    self.line(&format!("resuming after step {}, in epoch {}", run.step, run.epoch + 1));
                }
                state.rate = Rate::new();
            }
            Event::Step { record, done: [done, steps], images } => {
                let rate = state.rate.add(images);
                let left = (steps - done) + (self.epochs - record.epoch) as usize * steps;
                // The last batch of an epoch is smaller than the others.
                state.batch = state.batch.max(images);
                let left = duration((left * state.batch) as f64 / rate);
                let prefix = format!("epoch {}/{}  step {done}/{steps}", record.epoch, self.epochs);
                let wait = waiting(record.data_wait);
                let message = format!("loss {:.3}  {rate:.0} images/s{wait}  {left} left", record.loss);
                let bar = state.bar(Showing::Epoch(record.epoch), "{prefix} {wide_bar} {msg}", steps);
                bar.set_prefix(prefix.clone());
                bar.set_message(message.clone());
                bar.set_position(done as u64);
                if bar.is_hidden() && state.line.elapsed() > LINE_EVERY {
                    eprintln!("{prefix}  {message}");
                    state.line = Instant::now();
                }
            }
            Event::BadSamples(bad) => {
                for sample in bad {
                    state.bar.suspend(|| eprintln!("skipped: {}", sample.reason));
                }
            }
            Event::Validating { done, total } => {
                let bar = state.bar(Showing::Validation, "validating {wide_bar} {pos}/{len}", total);
                bar.set_position(done as u64);
            }
            Event::Epoch { record, best, .. } => {
                state.bar.finish_and_clear();
                self.line(&epoch_line(record, self.epochs, best));
                // The rate of the next step does not include the time of the validation.
                state.rate.last = Instant::now();
            }
            _ => {}
        }
    }

    /// Prints a line of text: on standard output, or, with `json`, on standard error.
    pub fn line(&self, text: &str) {
        if self.json {
            eprintln!("{text}");
        } else {
            // A run continues if its terminal is closed.
            let _ = say(text);
        }
    }
}

fn epoch_line(record: &EpochRecord, epochs: u32, best: bool) -> String {
    let width = epochs.to_string().len();
    format!(
        "epoch {:width$}/{epochs}  training loss {:.3} top-1 {:4.1} %  validation loss {:.3} top-1 {:4.1} % top-5 {:5.1} %  \
         {:.0} images/s{}{}",
        record.epoch,
        record.train_loss,
        record.train_top1 * 100.0,
        record.val_loss,
        record.val_top1 * 100.0,
        record.val_top5 * 100.0,
        record.images_per_second,
        waiting(record.data_wait),
        if best { "  best" } else { "" }
    )
}

/// The fraction of the time in which the network waited for images.
fn waiting(share: f64) -> String {
    format!("  data wait {:.1} %", share * 100.0)
}

/// Images per second, averaged over about the last ten seconds.
struct Rate {
    last: Instant,
    average: Option<f64>,
}

impl Rate {
    fn new() -> Self {
        Self { last: Instant::now(), average: None }
    }

    fn add(&mut self, images: usize) -> f64 {
        let elapsed = self.last.elapsed().max(Duration::from_micros(1)).as_secs_f64();
        self.last = Instant::now();
        let seconds_per_image = elapsed / images.max(1) as f64;
        // An exponential average over time: long steps have more weight than short ones.
        let weight = 1.0 - (-elapsed / 10.0).exp();
        let average = self.average.map_or(seconds_per_image, |old| old + weight * (seconds_per_image - old));
        self.average = Some(average);
        1.0 / average
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        use anyhow::Context;
        let missing = || alexnet_data::Error::Read { path: "a.jpg".into(), source: std::io::Error::other("gone") };
        assert_eq!(sentence(&missing().into()), "cannot read a.jpg: gone");
        let wrapped = Err::<(), _>(missing()).context("no picture").unwrap_err();
        assert_eq!(sentence(&wrapped), "no picture: cannot read a.jpg: gone");
    }

    #[test]
    fn durations() {
        let cases =
            [(0.4, "0 s"), (59.6, "1 min 00 s"), (61.0, "1 min 01 s"), (3600.0, "1 h 00 min"), (7384.0, "2 h 03 min")];
        for (seconds, expected) in cases {
            assert_eq!(duration(seconds), expected);
        }
    }
}
