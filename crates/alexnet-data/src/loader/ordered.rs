//! Runs jobs on several threads and returns their results in order, with a bound on the number of jobs in flight.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::Error;
use crate::decode::panic_message;

/// The input of a job.
pub(super) struct Job<'a, B> {
    /// The job's number.
    pub(super) number: usize,
    /// A buffer to fill; it may hold data of an earlier job.
    pub(super) buffer: B,
    /// Becomes true when the result is no longer needed.
    pub(super) stop: &'a AtomicBool,
}

/// Returns the results of jobs `first..end` in order.
///
/// To start a job, a thread first takes a buffer, then the next number. There are `window` buffers, and one is released
/// whenever a result is returned, so at most `window` jobs are running or waiting to be returned. The lowest number not
/// yet returned always belongs to a thread that has its buffer: a deadlock is impossible.
pub(super) struct Ordered<T, B> {
    next: usize,
    end: usize,
    /// Results that arrived out of order; at most `window`.
    early: BTreeMap<usize, Result<T, Error>>,
    results: Receiver<(usize, Result<T, Error>)>,
    /// `None` once everything has been returned: the threads end when they request the next buffer.
    buffers: Option<Sender<B>>,
    recycled: Vec<B>,
    window: usize,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static, B: Default + Send + 'static> Ordered<T, B> {
    /// Starts `threads` threads, each with a separate job function from `make_work`.
    pub(super) fn start<F>(
        first: usize,
        end: usize,
        threads: usize,
        window: usize,
        make_work: impl Fn() -> F,
    ) -> Result<Self, Error>
    where
        F: FnMut(Job<'_, B>) -> Result<T, Error> + Send + 'static,
    {
        // More buffers than jobs, or more threads than buffers, would only waste memory.
        let window = window.min(end.saturating_sub(first)).max(1);
        let threads = threads.min(window);
        let (buffers, take_buffer) = bounded(window);
        let (hand_in, results) = bounded(window);
        let stop = Arc::new(AtomicBool::new(false));
        let counter = Arc::new(AtomicUsize::new(first));
        let mut ordered = Self {
            next: first,
            end,
            early: BTreeMap::new(),
            results,
            buffers: Some(buffers),
            recycled: Vec::new(),
            window,
            stop: stop.clone(),
            threads: Vec::new(),
        };
        (0..window).for_each(|_| ordered.grant_buffer());
        for index in 0..threads {
            let worker = Worker {
                counter: counter.clone(),
                end,
                stop: stop.clone(),
                buffers: take_buffer.clone(),
                results: hand_in.clone(),
            };
            let work = make_work();
            let thread = std::thread::Builder::new().name(format!("data-{index}"));
            match thread.spawn(move || worker.run(work)) {
                Ok(handle) => ordered.threads.push(handle),
                // Dropping `ordered` ends the threads that were started.
                Err(error) => {
                    return Err(Error::setting("workers", threads, format!("a thread could not be started: {error}")));
                }
            }
        }
        Ok(ordered)
    }

    /// Returns a buffer for reuse by a later job; beyond `window` buffers it is freed.
    pub(super) fn recycle(&mut self, buffer: B) {
        if self.recycled.len() < self.window {
            self.recycled.push(buffer);
        }
    }

    /// Number of results not yet returned.
    pub(super) fn remaining(&self) -> usize {
        self.end - self.next
    }

    /// Whether the next result is available.
    pub(super) fn is_ready(&mut self) -> bool {
        while let Ok((number, result)) = self.results.try_recv() {
            self.early.insert(number, result);
        }
        self.early.contains_key(&self.next)
    }

    fn grant_buffer(&mut self) {
        let buffer = self.recycled.pop().unwrap_or_default();
        if let Some(buffers) = &self.buffers {
            // Cannot be full: a buffer is released only after one was taken. Disconnected once all jobs have started.
            let _ = buffers.try_send(buffer);
        }
    }
}

impl<T: Send + 'static, B: Default + Send + 'static> Iterator for Ordered<T, B> {
    type Item = Result<T, Error>;

    /// The next result, in order. An error is the last result.
    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let result = loop {
            if let Some(result) = self.early.remove(&self.next) {
                break result;
            }
            match self.results.recv() {
                Ok((number, result)) => self.early.insert(number, result),
                Err(_) => break Err(Error::WorkerPanicked { message: "all threads have ended".to_owned() }),
            };
        };
        self.next += 1;
        self.grant_buffer();
        if result.is_err() || self.next == self.end {
            self.close();
        }
        Some(result)
    }
}

impl<T, B> Ordered<T, B> {
    /// Stops each thread after its current job and waits for it.
    fn close(&mut self) {
        self.next = self.end;
        self.stop.store(true, Ordering::Relaxed);
        self.buffers = None;
        for thread in self.threads.drain(..) {
            // Jobs run under `catch_unwind`, so the result of `join` carries no information.
            let _ = thread.join();
        }
    }
}

impl<T, B> Drop for Ordered<T, B> {
    fn drop(&mut self) {
        self.close();
    }
}

struct Worker<T, B> {
    counter: Arc<AtomicUsize>,
    end: usize,
    stop: Arc<AtomicBool>,
    buffers: Receiver<B>,
    results: Sender<(usize, Result<T, Error>)>,
}

impl<T, B> Worker<T, B> {
    fn run(self, mut work: impl FnMut(Job<'_, B>) -> Result<T, Error>) {
        for buffer in self.buffers {
            let number = self.counter.fetch_add(1, Ordering::Relaxed);
            if number >= self.end || self.stop.load(Ordering::Relaxed) {
                return;
            }
            let job = Job { number, buffer, stop: &self.stop };
            // State left inconsistent by the panic is never used again: the error ends the whole sequence.
            let result = catch_unwind(AssertUnwindSafe(|| work(job)))
                .unwrap_or_else(|panic| Err(Error::WorkerPanicked { message: panic_message(&*panic).to_owned() }));
            if self.results.send((number, result)).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn collect(ordered: Ordered<usize, Vec<f32>>) -> Vec<Result<usize, String>> {
        ordered.map(|result| result.map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn results_come_in_order_whoever_is_slow() {
        let slow_first = || {
            |job: Job<'_, Vec<f32>>| {
                std::thread::sleep(Duration::from_millis([9, 1, 5, 0][job.number % 4]));
                Ok(job.number)
            }
        };
        for (threads, window) in [(1, 1), (4, 2), (3, 7)] {
            let ordered = Ordered::start(2, 20, threads, window, slow_first).unwrap();
            assert_eq!(ordered.remaining(), 18);
            assert_eq!(collect(ordered), (2..20).map(Ok).collect::<Vec<_>>());
        }
        assert_eq!(collect(Ordered::start(5, 5, 2, 2, slow_first).unwrap()), []);
    }

    #[test]
    fn no_more_than_the_window_is_begun() {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = || {
            let begun = begun.clone();
            move |job: Job<'_, Vec<f32>>| {
                begun.fetch_add(1, Ordering::SeqCst);
                Ok(job.number)
            }
        };
        let mut ordered = Ordered::start(0, 100, 4, 3, count).unwrap();
        for taken in 0..10 {
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(begun.load(Ordering::SeqCst), taken + 3);
            assert!(ordered.is_ready());
            assert!(ordered.next().is_some_and(|result| result.is_ok()));
        }
    }

    #[test]
    fn a_panic_is_an_error_and_the_end() {
        let panics = || {
            |job: Job<'_, Vec<f32>>| match job.number {
                3 => panic!("number 3"),
                number => Ok(number),
            }
        };
        let results = collect(Ordered::start(0, 10, 3, 4, panics).unwrap());
        let expected = Err("a data loading thread panicked: number 3".to_owned());
        assert_eq!(results, [Ok(0), Ok(1), Ok(2), expected]);
    }

    #[test]
    fn dropping_stops_jobs_that_listen() {
        let forever = || {
            |job: Job<'_, Vec<f32>>| {
                while !job.stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(job.number)
            }
        };
        let mut ordered = Ordered::start(0, 10, 3, 2, forever).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        let start = Instant::now();
        assert!(!ordered.is_ready());
        drop(ordered);
        assert!(start.elapsed() < Duration::from_millis(500));
    }
}
