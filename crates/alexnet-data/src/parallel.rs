//! A fixed number of independent pieces of work, divided among threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::bounded;

use crate::Error;
use crate::decode::panic_message;

/// Calls `work` once for each number below `count`, on `workers` threads, each with a state of its own, and returns the
/// states in no particular order. `progress` is called on the caller's thread with the numbers done and in all.
///
/// # Errors
/// The first one of `work`; no more work is begun then.
pub(crate) fn for_each<S: Send>(
    count: usize,
    workers: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<(), Error> + Sync,
    progress: &dyn Fn(usize, usize),
) -> Result<Vec<S>, Error> {
    if workers == 0 {
        return Err(Error::setting("workers", workers, "it must be at least 1"));
    }
    let next = AtomicUsize::new(0);
    let (report, reports) = bounded(workers);
    thread::scope(|scope| {
        let worker = || {
            let (report, next, work, state) = (report.clone(), &next, &work, &state);
            scope.spawn(move || {
                let mut state = state();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return Ok(state);
                    }
                    if let Err(error) = work(&mut state, index) {
                        next.store(count, Ordering::Relaxed);
                        return Err(error);
                    }
                    // The receiver outlives all threads.
                    let _ = report.send(());
                }
            })
        };
        let threads: Vec<_> = (0..workers.min(count)).map(|_| worker()).collect();
        // Otherwise the loop would wait for reports from this thread, too.
        drop(report);
        for (done, ()) in (1..).zip(&reports) {
            progress(done, count);
        }
        let join = |thread: thread::ScopedJoinHandle<'_, Result<S, Error>>| {
            thread
                .join()
                .unwrap_or_else(|panic| Err(Error::WorkerPanicked { message: panic_message(&*panic).to_owned() }))
        };
        threads.into_iter().map(join).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn every_number_is_visited_once() {
        for workers in [1, 3, 20] {
            let last = Cell::new((0, 0));
            let push = |seen: &mut Vec<usize>, index| {
                seen.push(index);
                Ok(())
            };
            let states = for_each(10, workers, Vec::new, push, &|done, total| last.set((done, total))).unwrap();
            let mut seen = states.concat();
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
            assert_eq!(last.get(), (10, 10));
        }
        assert_eq!(for_each(0, 2, || (), |(), _| Ok(()), &|_, _| {}).unwrap().len(), 0);
    }

    #[test]
    fn errors_and_panics_come_back() {
        let fail = |(): &mut (), index| if index == 3 { Err(Error::EmptyFile) } else { Ok(()) };
        assert!(matches!(for_each(100, 4, || (), fail, &|_, _| {}), Err(Error::EmptyFile)));
        let panic = |(): &mut (), index| if index == 3 { panic!("number {index}") } else { Ok(()) };
        let error = for_each(100, 4, || (), panic, &|_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "a data loading thread panicked: number 3");
        assert!(for_each(1, 0, || (), |(), _| Ok(()), &|_, _| {}).unwrap_err().to_string().contains("workers is 0"));
    }
}
